package ansible

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/problem"
)

type base struct {
	Home string `arg:"home" kind:"path" required:"true"`
}

type every struct {
	base
	Text   string            `arg:"text" default:"some" choices:"some,other"`
	Dir    string            `arg:"dir" kind:"path"`
	Number int               `arg:"number" default:"7"`
	Share  float64           `arg:"share"`
	Flag   bool              `arg:"flag" default:"true"`
	List   []string          `arg:"list" choices:"a,b,c"`
	Words  map[string]string `arg:"words"`
	Tree   map[string]any    `arg:"tree"`
	DSN    string            `arg:"postgres_dsn" secret:"true"`
	Key    string            `arg:"key" secret:"true"`
}

func testModule(run func(context.Context, every, Mode) (Reply, error)) Module {
	if run == nil {
		run = func(context.Context, every, Mode) (Reply, error) { return Reply{}, nil }
	}
	return New(Spec{Name: "cidx_test"}, run)
}

func TestDecodeAccepts(t *testing.T) {
	t.Setenv("HOME", "/root")
	defaults := every{base: base{"/h"}, Text: "some", Number: 7, Flag: true}
	with := func(change func(*every)) every { e := defaults; change(&e); return e }
	for name, test := range map[string]struct {
		in   string
		want every
	}{
		"nothing but what is required":      {`{}`, defaults},
		"numbers as text":                   {`{"number":"5432","share":"0.5"}`, with(func(e *every) { e.Number, e.Share = 5432, 0.5 })},
		"numbers as numbers":                {`{"number":5432,"share":0.5}`, with(func(e *every) { e.Number, e.Share = 5432, 0.5 })},
		"a whole number with a point":       {`{"number":5.0}`, with(func(e *every) { e.Number = 5 })},
		"a large number":                    {`{"number":9007199254740993}`, with(func(e *every) { e.Number = 9007199254740993 })},
		"yes":                               {`{"flag":"yes"}`, defaults},
		"no":                                {`{"flag":"no"}`, with(func(e *every) { e.Flag = false })},
		"False, as Python writes it":        {`{"flag":"False"}`, with(func(e *every) { e.Flag = false })},
		"0":                                 {`{"flag":0}`, with(func(e *every) { e.Flag = false })},
		"a list with commas":                {`{"list":"a, b"}`, with(func(e *every) { e.List = []string{"a", "b"} })},
		"a list":                            {`{"list":["a","c"]}`, with(func(e *every) { e.List = []string{"a", "c"} })},
		"an empty list":                     {`{"list":[]}`, with(func(e *every) { e.List = []string{} })},
		"null is absent":                    {`{"text":null,"number":null,"flag":null,"list":null,"words":null}`, defaults},
		"settings of the group":             {`{"number":3,"settings":{"number":5,"text":"other","unheard_of":[1],"flag":null}}`, with(func(e *every) { e.Number, e.Text = 3, "other" })},
		"a mapping":                         {`{"words":{"x":"y","n":1}}`, with(func(e *every) { e.Words = map[string]string{"x": "y", "n": "1"} })},
		"a mapping as text":                 {`{"words":"{\"n\":1}"}`, with(func(e *every) { e.Words = map[string]string{"n": "1"} })},
		"a tree":                            {`{"tree":{"x":{"y":[true]}}}`, with(func(e *every) { e.Tree = map[string]any{"x": map[string]any{"y": []any{true}}} })},
		"a path from home":                  {`{"dir":"~/x/../y"}`, with(func(e *every) { e.Dir = "/root/y" })},
		"a number where text is wanted":     {`{"key":5432}`, with(func(e *every) { e.Key = "5432" })},
		"internal arguments of any release": {`{"_ansible_zork":{"a":1},"_ansible_tmpdir":null,"_cidx_run":{"id":"x"}}`, defaults},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, _, err := testModule(nil).Decode([]byte(`{"home":"/h",` + strings.TrimPrefix(test.in, "{")))
			if test.in == `{}` {
				got, _, _, err = testModule(nil).Decode([]byte(`{"home":"/h"}`))
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *got.(*every), cmp.AllowUnexported(every{}, base{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want []string // the problems, in order
	}{
		"no JSON":                    {`{"home"`, []string{"cidx_test: arguments are not a JSON object"}},
		"a list":                     {`[]`, []string{"cidx_test: arguments are not a JSON object"}},
		"null":                       {`null`, []string{"cidx_test: arguments are not a JSON object"}},
		"two objects":                {`{"home":"/h"} {}`, []string{"cidx_test: arguments are not a JSON object: something follows"}},
		"nothing":                    {`{}`, []string{"cidx_test: home: missing (fix: give an absolute path)"}},
		"an empty path":              {`{"home":""}`, []string{"cidx_test: home: empty"}},
		"a relative path":            {`{"home":"h"}`, []string{`cidx_test: home: not an absolute path: "h"`}},
		"another user's home":        {`{"home":"~anna/h"}`, []string{`cidx_test: home: not an absolute path: "~anna/h"`}},
		"no number":                  {`{"home":"/h","number":"x"}`, []string{`cidx_test: number: not a int: "x" (fix: give a number)`}},
		"half a number":              {`{"home":"/h","number":1.5}`, []string{`cidx_test: number: not a int: 1.5`}},
		"infinity":                   {`{"home":"/h","share":"inf"}`, []string{`cidx_test: share: not a float: "inf"`}},
		"maybe":                      {`{"home":"/h","flag":"maybe"}`, []string{`cidx_test: flag: not a bool: "maybe" (fix: give true or false)`}},
		"an unknown choice":          {`{"home":"/h","text":"sone"}`, []string{`cidx_test: text: unknown choice "sone" (fix: give one of some, other)`}},
		"an unknown word of a list":  {`{"home":"/h","list":["a","x"]}`, []string{`cidx_test: list: unknown choice "x" (fix: give one of a, b, c)`}},
		"a mapping for text":         {`{"home":"/h","text":{}}`, []string{`cidx_test: text: not a str: {}`}},
		"text for a mapping":         {`{"home":"/h","words":"x"}`, []string{`cidx_test: words: not a dict: "x"`}},
		"a list in a mapping":        {`{"home":"/h","words":{"x":[1]}}`, []string{`cidx_test: words: not a dict`}},
		"an unknown argument":        {`{"home":"/h","nunber":1}`, []string{`cidx_test: unknown argument "nunber" (fix: did you mean number? accepted are home, text`}},
		"a secret of the wrong type": {`{"home":"/h","key":{"pass":"hunter22"}}`, []string{`cidx_test: key: not a str: the value given`}},
		"every mistake at once": {`{"number":"x","flag":"maybe","zzzzzz":1,"hme":"/h"}`, []string{
			`home: missing`, `number: not a int`, `flag: not a bool`, `unknown argument "hme" (fix: did you mean home?`, `unknown argument "zzzzzz" (fix: accepted are`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := testModule(nil).Decode([]byte(test.in))
			problems := problem.Of(err)
			if len(problems) != len(test.want) {
				t.Fatalf("got %d problems: %v", len(problems), err)
			}
			for i, want := range test.want {
				if !strings.Contains(problems[i].Error(), want) {
					t.Errorf("got %q, want %q", problems[i].Error(), want)
				}
			}
			if strings.Contains(err.Error(), "hunter22") {
				t.Error("the message repeats a secret")
			}
		})
	}
}

func TestDecodeReadsTheMode(t *testing.T) {
	for in, want := range map[string]Mode{
		`{"home":"/h"}`: {},
		`{"home":"/h","_ansible_check_mode":true,"_ansible_diff":true,"_ansible_verbosity":3}`:     {Check: true, Diff: true},
		`{"home":"/h","_ansible_check_mode":"True","_ansible_diff":"no","_ansible_verbosity":"0"}`: {Check: true},
	} {
		if _, mode, _, err := testModule(nil).Decode([]byte(in)); err != nil || mode != want {
			t.Errorf("%s: got %+v, %v", in, mode, err)
		}
	}
}

func TestDecodeRegistersSecrets(t *testing.T) {
	_, _, secrets, err := testModule(nil).Decode([]byte(`{"home":"/h","postgres_dsn":"postgresql://cidx:hunter22@db/x","key":"k-123456"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hunter22", "k-123456"} {
		found := false
		for _, s := range secrets {
			found = found || s == want
		}
		if !found {
			t.Errorf("%q is not among %q", want, secrets)
		}
	}
	if _, _, secrets, _ = testModule(nil).Decode([]byte(`{"home":"/h","postgres_dsn":"postgresql://cidx@db/x"}`)); len(secrets) != 0 {
		t.Errorf("a connection string without a password counts as secret: %q", secrets)
	}
}

func TestDecodeErrorIsProblems(t *testing.T) {
	_, _, _, err := testModule(nil).Decode([]byte(`{}`))
	var problems problem.List
	if !errors.As(err, &problems) {
		t.Errorf("got %T", err)
	}
}
