package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// leaks finds seeded secrets (passwords, keys, tokens, the DSN's password) in
// what the last playbook printed and in the files below the places given:
//
//	leaks [-except GLOB,…] [PLACE…]    "! leaks": there must be none
//
// It succeeds when it finds one; globs match paths below their place. No
// secret is ever printed here, only where it is and which it was.
func (st *stage) leaks(c *call) error {
	args, except := c.args, []string(nil)
	if len(args) > 1 && args[0] == "-except" {
		except, args = strings.Split(args[1], ","), args[2:]
	}
	secrets, err := st.secrets()
	if err != nil {
		return err
	}
	found := secrets.in("transcript", []byte(st.transcript))
	for _, place := range args {
		err := filepath.WalkDir(c.ts.MkAbs(place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || excepted(place, path, except) {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found = append(found, secrets.in(path, text)...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, leak := range found {
		fmt.Fprintln(c.out, "LEAK", leak)
	}
	if len(found) == 0 {
		return fmt.Errorf("no secret found: %w", errVerdict)
	}
	return nil
}

func excepted(place, path string, globs []string) bool {
	rel, err := filepath.Rel(place, path)
	return err == nil && slices.ContainsFunc(globs, func(glob string) bool {
		ok, _ := filepath.Match(glob, rel)
		return ok || rel == glob || strings.HasPrefix(rel, strings.TrimSuffix(glob, "*")) && strings.HasSuffix(glob, "/*")
	})
}

// secretList holds every spelling of every secret that could show.
type secretList []struct {
	name      string
	spellings [][]byte
}

func (st *stage) secrets() (secretList, error) {
	facts, err := st.box.ReadFacts()
	if err != nil {
		return nil, err
	}
	var list secretList
	for i, secret := range facts.Secrets {
		if len(secret) < 8 { // too short to be told from chance
			continue
		}
		spellings := [][]byte{[]byte(secret)}
		for _, other := range []string{url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if other != secret {
				spellings = append(spellings, []byte(other))
			}
		}
		list = append(list, struct {
			name      string
			spellings [][]byte
		}{fmt.Sprintf("secret %d of facts.json", i+1), spellings})
	}
	if len(list) < 10 {
		return nil, errors.New("the seed planted too few secrets to search for")
	}
	return list, nil
}

func (l secretList) in(where string, text []byte) []string {
	var found []string
	for _, secret := range l {
		if slices.ContainsFunc(secret.spellings, func(s []byte) bool { return bytes.Contains(text, s) }) {
			found = append(found, secret.name+" in "+where)
		}
	}
	return found
}
