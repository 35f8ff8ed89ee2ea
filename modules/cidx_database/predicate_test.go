package database

import "testing"

func TestTranslate(t *testing.T) {
	columns := map[string]string{"status": `"status"`, "repo_alias": `"repo_alias"`, "role": `"role"`, "id": `"id"`, "Odd name": `"Odd name"`, "flag": `"flag"`}
	for name, c := range map[string]struct {
		in, want string
		ok       bool
	}{
		"a list": {"((status = ANY (ARRAY['pending'::text, 'running'::text])) AND (repo_alias IS NOT NULL))",
			`( ( "status" IN ( 'pending' , 'running' ) ) AND ( "repo_alias" IS NOT NULL ) )`, true},
		"a list that is cast as a whole": {"((role)::text = ANY ((ARRAY['user'::character varying, 'assistant'::character varying])::text[]))",
			`( ( "role" ) IN ( 'user' , 'assistant' ) )`, true},
		"not in a list":            {"(status <> ALL (ARRAY['x'::text]))", `( "status" NOT IN ( 'x' ) )`, true},
		"a comparison":             {"(id = 1)", `( "id" = 1 )`, true},
		"a range":                  {"((id >= -5) AND (id < 10))", `( ( "id" >= -5 ) AND ( "id" < 10 ) )`, true},
		"a boolean column":         {"(NOT flag)", `( NOT "flag" )`, true},
		"a quote in a literal":     {"(status = 'it''s'::text)", `( "status" = 'it''s' )`, true},
		"a name in quotes":         {`("Odd name" IS NULL)`, `( "Odd name" IS NULL )`, true},
		"a length in a cast":       {"((role)::character varying(16) = 'x'::character varying(16))", `( ( "role" ) = 'x' )`, true},
		"a function":               {"(length(role) < 10)", "", false},
		"a column that is missing": {"(other = 1)", "", false},
		"an operator of its own":   {"(role ~~ 'a%'::text)", "", false},
		"a cast to another type":   {"(role = 'x'::citext)", "", false},
		"a cut literal":            {"(role = 'x", "", false},
		"a parenthesis too many":   {"(id = 1))", "", false},
		"nothing":                  {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := translate(c.in, columns)
			if ok != c.ok || ok && got != c.want {
				t.Errorf("translate(%s) = %s, %v, want %s", c.in, got, ok, c.want)
			}
		})
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add("((status = ANY (ARRAY['pending'::text, 'running'::text])) AND (repo_alias IS NOT NULL))")
	f.Add("((role)::text <> ALL ((ARRAY['a'::character varying])::text[]))")
	f.Add(`("Odd name" IS NULL) OR (id = -1.5)`)
	f.Fuzz(func(t *testing.T, condition string) {
		translate(condition, map[string]string{"status": `"status"`, "id": `"id"`}) // must come back
	})
}
