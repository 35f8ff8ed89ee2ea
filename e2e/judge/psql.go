package judge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// psql runs PostgreSQL's own programs. The connection goes to them in PG*
// variables of their environment, never on a command line.
type psql struct{ env []string }

// libpq's variable for each parameter of a DSN.
var variables = map[string]string{"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD",
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "connect_timeout": "PGCONNECT_TIMEOUT",
	"application_name": "PGAPPNAME", "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE", "channel_binding": "PGCHANNELBINDING"}

func newPsql(dsn string) (*psql, error) {
	parameters, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("read CIDX_POSTGRES_DSN: %w", err)
	}
	p := &psql{}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "CIDX_POSTGRES_DSN=") {
			p.env = append(p.env, v)
		}
	}
	for key, value := range parameters {
		name, known := variables[key]
		if !known {
			return nil, fmt.Errorf("read CIDX_POSTGRES_DSN: unknown parameter %q", key)
		}
		p.env = append(p.env, name+"="+value)
	}
	p.env = append(p.env, "PGTZ=UTC", "PGDATESTYLE=ISO, YMD", "PGCLIENTENCODING=UTF8", "PSQLRC=/dev/null")
	return p, nil
}

// parseDSN reads a postgresql:// URL or keyword=value pairs. Errors never show the DSN.
func parseDSN(dsn string) (map[string]string, error) {
	out := map[string]string{}
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return keywordPairs(dsn)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("not a URL")
	}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	set("host", u.Hostname())
	set("port", u.Port())
	set("user", u.User.Username())
	password, _ := u.User.Password()
	set("password", password)
	set("dbname", strings.TrimPrefix(u.Path, "/"))
	for key, values := range u.Query() {
		set(key, values[0])
	}
	return out, nil
}

func keywordPairs(dsn string) (map[string]string, error) {
	out := map[string]string{}
	for rest := strings.TrimSpace(dsn); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, found := strings.Cut(rest, "=")
		if !found {
			return nil, fmt.Errorf("neither a URL nor keyword=value pairs")
		}
		after = strings.TrimLeft(after, " ")
		var value strings.Builder
		quoted := strings.HasPrefix(after, "'")
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(after) && !(quoted && after[i] == '\'') && (quoted || after[i] != ' '); i++ {
			if after[i] == '\\' && i+1 < len(after) {
				i++
			}
			value.WriteByte(after[i])
		}
		out[strings.TrimSpace(key)] = value.String()
		rest = after[min(len(after), i+1):]
	}
	return out, nil
}

// program is one of PostgreSQL's, of its newest release: Debian's /usr/bin/psql is
// a script that looks for it and takes ten times as long as the program itself.
func program(name string) string {
	best, newest := name, 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // well-formed
	for _, path := range found {
		if release, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))); err == nil && release > newest {
			best, newest = path, release
		}
	}
	return best
}

func (p *psql) command(ctx context.Context, sql string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
		"-c", "SET extra_float_digits = 3", "-c", "SET bytea_output = 'hex'", "-c", sql)
	cmd.Env = p.env
	return cmd
}

// query answers rows of columns of a COPY (…) TO STDOUT; for small answers.
func (p *psql) query(ctx context.Context, sql string) ([][]string, error) {
	var out [][]string
	err := p.stream(ctx, sql, func(row []pgValue) error {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = v.text
		}
		out = append(out, line)
		return nil
	})
	return out, err
}

// state adds every table's row count and digest, every sequence, and the schema.
func (p *psql) state(ctx context.Context, s State) error {
	tables, err := p.query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	if err != nil {
		return err
	}
	var counts []string
	for _, t := range tables {
		counts = append(counts, fmt.Sprintf(`SELECT '%s', count(*), coalesce(sum(('x' || left(h, 16))::bit(64)::bigint::numeric), 0),
			coalesce(sum(('x' || right(h, 16))::bit(64)::bigint::numeric), 0) FROM (SELECT md5(t::text) AS h FROM %s t) AS hashes`,
			strings.ReplaceAll(t[0], "'", "''"), ident(t[0])))
	}
	if len(counts) > 0 {
		rows, err := p.query(ctx, strings.Join(counts, " UNION ALL "))
		if err != nil {
			return err
		}
		for _, r := range rows {
			count, _ := strconv.ParseInt(r[1], 10, 64)
			name := "postgres/" + r[0]
			s[name] = Entry{Name: name, Type: "table", Size: count, Hash: r[2] + "/" + r[3]}
		}
	}
	sequences, err := p.query(ctx, `SELECT sequencename, coalesce(last_value::text, 'unused') FROM pg_sequences WHERE schemaname = 'public'`)
	if err != nil {
		return err
	}
	for _, q := range sequences {
		name := "postgres/sequence/" + q[0]
		s[name] = Entry{Name: name, Type: "sequence", Hash: q[1]}
	}
	dump, err := p.dump(ctx)
	s["postgres/schema"] = Entry{Name: "postgres/schema", Type: "schema", Hash: dump}
	return err
}

// dump answers a hash of pg_dump --schema-only, without the lines that are random in each run.
func (p *psql) dump(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, program("pg_dump"), "--schema-only")
	cmd.Env = p.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run pg_dump: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	h := sha256.New()
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte(`\restrict`)) && !bytes.HasPrefix(line, []byte(`\unrestrict`)) {
			h.Write(line)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
