package secret

import (
	"context"
	"strings"
	"testing"
)

func TestKeepDSNHidesThePasswordInEverySpelling(t *testing.T) {
	cases := map[string]struct{ dsn, password string }{
		"URI":                                 {"postgresql://cidx:s3cr%2Ft@db:5432/cidx", "s3cr/t"},
		"URI with an unescaped @ in it":       {"postgresql://cidx:p@ss@db/cidx", "p@ss"},
		"URI parameter":                       {"postgresql://db/cidx?user=a&password=hunter22", "hunter22"},
		"keyword/value":                       {"host=db password=hunter22 dbname=x", "hunter22"},
		"keyword/value with quotes and space": {`host=db password = 'it\'s long' dbname=x`, "it's long"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := With(context.Background(), New())
			KeepDSN(ctx, c.dsn)
			shown := From(ctx).Hide("error near " + c.password + ".")
			if strings.Contains(shown, c.password) {
				t.Error("the password is still shown")
			}
		})
	}
}

func TestHideLeavesOtherTextAlone(t *testing.T) {
	k := New()
	k.Keep("longsecret", "ab", "")
	if out := k.Hide("xlongsecrety abc"); out != "x"+Mask+"y abc" {
		t.Errorf("masked to %s", out)
	}
}

func TestHideReplacesTheLongerOfTwoOverlappingSecretsFirst(t *testing.T) {
	k := New()
	k.Keep("abcd", "abcdefgh")
	if got := k.Hide("abcdefgh"); got != Mask {
		t.Errorf("got %q, a part of the longer secret is shown", got)
	}
}
