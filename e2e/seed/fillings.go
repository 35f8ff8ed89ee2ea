package seed

import "slices"

// filling is what a table needs beside the defaults: how many rows (nil: as
// many as Options.Rows) and the generators of its columns.
type filling struct {
	rows  func(w *world) int
	cells map[string]cell
}

func exactly(n int) func(*world) int { return func(*world) int { return n } }

func perUser(w *world) int { return len(w.users) }
func perRepo(w *world) int { return len(w.repos) }
func half(w *world) int    { return len(w.users) / 2 }
func large(w *world) int   { return w.Events }
func few(w *world) int     { return min(w.Rows, 20) }

func rowsOf(w *world, table string) int {
	if rows := fillings[table].rows; rows != nil {
		return rows(w)
	}
	return w.Rows
}

// fillings of every table whose defaults do not do. Order: accounts,
// repositories, jobs, analytics, wiki, monitoring, groups, OAuth, the rest.
var fillings = merge(accountFillings, repoFillings, jobFillings, eventFillings, restFillings)

func merge(parts ...map[string]filling) map[string]filling {
	all := map[string]filling{}
	for _, part := range parts {
		for table, f := range part {
			all[table] = f
		}
	}
	return all
}

var accountFillings = map[string]filling{
	"users": {rows: perUser, cells: map[string]cell{
		"username": userAt, "password_hash": hashOfPassword, "role": func(m *maker, i int) any { return m.users[i-1].role },
		"email":      sometimes(4, named("person%d@example.org")),
		"created_at": iso, "oidc_identity": sometimes(3, document), "password_changed_at": changedTexts}},
	"user_mfa": {rows: exactly(4), cells: map[string]cell{
		"user_id": func(m *maker, i int) any { return mfaUsers[i-1] }, "encrypted_secret": sealedTOTP, "key_id": always(1),
		"mfa_enabled": func(_ *maker, i int) any { return min(1, max(0, 3-i)) }, "last_used_counter": sometimes(2, number(60_000_000)),
		"last_used_otp_counter": always(nil), "created_at": naive, "updated_at": naive}},
	"user_recovery_codes": {rows: exactly(16), cells: map[string]cell{
		"user_id": func(_ *maker, i int) any { return mfaUsers[i%2] }, "code_hash": hashedRecovery, "created_at": naive,
		"used_at": usedCode(naive), "used_ip": usedCode(oneOf("2001:db8::1", "192.0.2.7"))}},
	"user_api_keys": {rows: func(w *world) int { return max(w.Rows, len(w.users)+2) }, cells: map[string]cell{
		"username": func(m *maker, i int) any { return m.users[(i-1)%len(m.users)].name }, "key_hash": hashOfKey,
		"key_prefix": oneOf("cidx_sk_ab", "cidx_sk_f0"), "key_sha256": sumOfKey}},
	"user_mcp_credentials": {cells: map[string]cell{
		"client_id": func(m *maker, _ int) any { return "mcp_" + randomHex(m.rng, 32) }, "client_secret_hash": hexOf(64),
		"client_id_prefix": always("mcp_"), "username": aUser}},
	"user_oidc_identities": {rows: half, cells: map[string]cell{
		"username": userAt, "subject": named("oidc|%d"), "last_login": sometimes(3, iso)}},
	"user_git_credentials": {cells: map[string]cell{
		"forge_type": oneOf("github", "gitlab"), "forge_host": named("git%d.example.org"),
		"encrypted_token": func(m *maker, i int) any { return m.sealToken(m.Rows + i - 1) }}},
	"ci_tokens": {cells: map[string]cell{
		"platform":        func(_ *maker, i int) any { return platform(i) },
		"encrypted_token": func(m *maker, i int) any { return m.sealToken(i - 1) },
		"base_url":        sometimes(2, named("https://ci%d.example.org/api?x=1&y=ü"))}},
	"invalidated_sessions":       {cells: map[string]cell{"username": aUser, "token_id": hexOf(32)}},
	"password_change_timestamps": {rows: perUser, cells: map[string]cell{"username": userAt}},
	"token_blacklist":            {cells: map[string]cell{"jti": uuid, "blacklisted_at": epochReal}},
	"groups": {rows: exactly(5), cells: map[string]cell{
		"id": func(_ *maker, i int) any { return groupIDs[i-1] }, "name": func(_ *maker, i int) any { return groupNames[i-1] },
		"description": oneOf("", "Grüße: everyone", "administrators"), "is_default": func(_ *maker, i int) any { return min(1, max(0, 4-i)) }}},
	"user_group_membership": {rows: perUser, cells: map[string]cell{
		"user_id": userAt, "group_id": groupOfUser, "assigned_by": always("system")}},
	"repo_group_access": {rows: func(w *world) int { return len(grants(w)) }, cells: map[string]cell{
		"repo_name": func(m *maker, i int) any { return grants(m.world)[i-1].repo },
		"group_id":  func(m *maker, i int) any { return grants(m.world)[i-1].group }, "granted_by": sometimes(3, always("admin"))}},
}

// changedTexts is a column of text, in which every release has written as it liked.
func changedTexts(m *maker, i int) any {
	switch i % 5 {
	case 0:
		return ""
	case 1:
		return naive(m, i)
	case 2:
		return epochText(m, i)
	case 3:
		return nil
	}
	return iso(m, i)
}

// mfaUsers have rows in user_mfa: the first two with MFA switched on.
var mfaUsers = []string{"ops", "maria", "pia", "jörg"}

// Each start of a standalone server burns three ids, hence the gap before the custom groups.
var (
	groupIDs   = []int{1, 2, 3, 10, 17}
	groupNames = []string{"admins", "powerusers", "users", "finance", "équipe ü"}
)

func groupOfUser(m *maker, i int) any {
	switch u := m.users[i-1]; {
	case u.role == "admin":
		return 1
	case u.role == "power_user":
		return 2
	case u.name == "jörg":
		return 10
	}
	return 3
}

type grant struct {
	repo  string
	group int
}

// grants give admins and power users every repository, users cidx-meta and
// every third, finance only billing.
func grants(w *world) []grant {
	var out []grant
	for i, r := range w.repos {
		out = append(out, grant{r.alias, 1}, grant{r.alias, 2})
		if i%3 == 0 || r.alias == "cidx-meta" {
			out = append(out, grant{r.alias, 3})
		}
		if r.alias == "billing" {
			out = append(out, grant{r.alias, 10})
		}
	}
	return out
}

func platform(i int) string {
	if i <= 2 {
		return []string{"github", "gitlab"}[i-1]
	}
	return named("ci-platform-%d")(nil, i).(string)
}

// The cells below answer an error as their value; inserting it fails and names the row.

func hashOfPassword(m *maker, i int) any {
	return valueOr(passwordHash(m.rng, m.users[i-1].password))
}

func hashOfKey(m *maker, i int) any {
	if i <= len(m.users) {
		return valueOr(passwordHash(m.rng, m.users[i-1].apiKey))
	}
	return "pbkdf2_sha256$1000$c2FsdA==$" + randomHex(m.rng, 44)
}

// sumOfKey is NULL in the row after the users': a key from before key_sha256 existed.
func sumOfKey(m *maker, i int) any {
	if i <= len(m.users) {
		return sha256Hex(m.users[i-1].apiKey)
	}
	if i == len(m.users)+1 {
		return nil
	}
	return randomHex(m.rng, 64)
}

func sealedTOTP(m *maker, i int) any {
	secret := base32Secret(m.rng)
	at := slices.IndexFunc(m.users, func(u user) bool { return u.name == mfaUsers[i-1] })
	if own := m.users[at].totp; own != "" {
		secret = own
	}
	return valueOr(fernet(m.rng, m.secrets.mfa, secret, m.instant(i)))
}

// hashedRecovery stores each MFA user's known code in that user's first row.
func hashedRecovery(m *maker, i int) any {
	code := randomHex(m.rng, 8) + "-" + randomHex(m.rng, 8)
	if i <= 2 {
		name := mfaUsers[i%2]
		at := slices.IndexFunc(m.users, func(u user) bool { return u.name == name })
		code = m.users[at].recovery
	}
	return recoveryHash(m.secrets.mfa, code)
}

// usedCode fills a column of the codes that were used: every fifth, never a known one.
func usedCode(c cell) cell {
	return func(m *maker, i int) any {
		if i%5 != 4 {
			return nil
		}
		return c(m, i)
	}
}

func (m *maker) sealToken(i int) any {
	return valueOr(encryptToken(m.rng, m.tokenKey, m.secrets.tokens[i]))
}

func valueOr(text string, err error) any {
	if err != nil {
		return err
	}
	return text
}
