package seed

import (
	"encoding/json"
	"fmt"
)

// Facts is what a test must know of a home. It holds secrets in clear.
type Facts struct {
	Home    string                    `json:"home"`
	Layout  string                    `json:"layout"`
	Admin   Account                   `json:"admin"`
	MFA     Account                   `json:"mfa"`
	Normal  Account                   `json:"normal"`
	Repos   []RepoFacts               `json:"repos"`
	Tables  map[string]map[string]int `json:"tables"` // file -> table -> rows
	Secrets []string                  `json:"secrets"`
}

// Account is one way to log in; the MFA account has a TOTP secret (base32) and an unused recovery code.
type Account struct {
	User         string `json:"user"`
	Password     string `json:"password"`
	APIKey       string `json:"api_key"`
	TOTPSecret   string `json:"totp_secret,omitempty"`
	RecoveryCode string `json:"recovery_code,omitempty"`
}

// RepoFacts name a repository, a word in each of its files, and whether it has a full-text index.
type RepoFacts struct {
	Alias  string `json:"alias"`
	Global string `json:"global"`
	Word   string `json:"word"`
	FTS    bool   `json:"fts"`
}

func (w *world) facts(tables map[string]map[string]int) Facts {
	f := Facts{Home: w.Home, Layout: w.Layout, Tables: tables, Secrets: w.allSecrets()}
	for _, u := range w.users {
		a := Account{User: u.name, Password: u.password, APIKey: u.apiKey, TOTPSecret: u.totp, RecoveryCode: u.recovery}
		switch u.name {
		case "admin":
			f.Admin = a
		case "ops":
			f.MFA = a
		case "jo.doe@example.org":
			f.Normal = a
		}
	}
	for _, r := range w.repos {
		f.Repos = append(f.Repos, RepoFacts{Alias: r.alias, Global: r.global(), Word: r.word, FTS: r.fts})
	}
	return f
}

// Write stores the facts in a file with mode 0600.
func (f Facts) Write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode facts: %w", err)
	}
	return writeFile(path, append(text, '\n'), 0o600)
}
