package main

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/arguments"
)

// author stands in every module's documentation.
const author = "The cidx-cluster authors (@cidx-cluster)"

// documentation renders what ansible-doc reads beside a module (a YAML file
// with the keys DOCUMENTATION, EXAMPLES and RETURN), from the same structs that
// Decode reads.
func documentation(m ansible.Module) ([]byte, error) {
	var fold folder
	head := mapping(
		"module", m.Doc.Name,
		"short_description", m.Doc.Short,
		"version_added", quoted("1.0.0"),
		"description", fold.list(m.Doc.Description...),
		"author", []string{author},
		"attributes", mapping(
			"check_mode", mapping("support", "full", "description", fold.list(m.Doc.Check)),
			"diff_mode", mapping("support", "full", "description", fold.list("Says what changes, where that is text.")),
		),
		"options", options(m, &fold),
	)
	example, err := examples(m.Doc)
	if err != nil {
		return nil, err
	}
	document := mapping("DOCUMENTATION", head, "EXAMPLES", example, "RETURN", returns(m, &fold))
	var b bytes.Buffer
	b.WriteString("---\n# Made of the Go structs by: go test ./modules -run TestDocumentation -update\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("document %s: %w", m.Doc.Name, err)
	}
	return []byte(fold.unfold(b.String())), nil
}

func examples(d ansible.Doc) (*yaml.Node, error) {
	var parsed yaml.Node
	if err := yaml.Unmarshal([]byte(d.Example), &parsed); err != nil {
		return nil, fmt.Errorf("document %s: example: %w", d.Name, err)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: strings.TrimSpace(d.Example) + "\n"}, nil
}

func options(m ansible.Module, fold *folder) *yaml.Node {
	options := mapping()
	for _, a := range m.Arguments() {
		o := mapping("description", fold.list(a.Doc), "type", a.Type)
		if a.Type == "list" {
			add(o, "elements", "str")
		}
		if a.Required {
			add(o, "required", true)
		}
		if a.Default != "" {
			add(o, "default", typedDefault(a))
		}
		if len(a.Choices) > 0 {
			add(o, "choices", a.Choices)
		}
		add(options, a.Name, o)
	}
	return options
}

// typedDefault is the default with the argument's type, as YAML reads it.
func typedDefault(a arguments.Argument) any {
	if a.Type == "str" || a.Type == "path" {
		return quoted(a.Default)
	}
	if a.Type == "list" {
		return strings.Split(a.Default, ",")
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: a.Default}
}

// returns documents what every reply has, then the module's own keys.
func returns(m ansible.Module, fold *folder) *yaml.Node {
	list := append([]ansible.Return{
		{Name: "msg", Type: "str", Doc: "One sentence on what was done or found; in a failure all problems, one a line."},
		{Name: "problems", Type: "list", Doc: "In a failure everything that was found, each with C(what), C(at) and C(fix)."},
		{Name: "lines", Type: "list", Doc: "The lines of the transcript."},
	}, m.Doc.Returns...)
	out := mapping()
	for _, r := range list {
		add(out, r.Name, mapping("description", fold.list(r.Doc), "returned", returned(r.Name), "type", r.Type))
	}
	return out
}

func returned(name string) string {
	if name == "problems" {
		return "failure"
	}
	return "always"
}

// mapping builds a YAML mapping that keeps its order.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(pairs); i += 2 {
		add(n, pairs[i].(string), pairs[i+1])
	}
	return n
}

func add(n *yaml.Node, name string, value any) {
	v, ok := value.(*yaml.Node)
	if !ok {
		v = &yaml.Node{}
		if err := v.Encode(value); err != nil {
			panic("ansible: document " + name + ": " + err.Error())
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, v)
}

func quoted(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.SingleQuotedStyle, Value: s}
}

// foldAt is the longest line of generated YAML, roughly.
const foldAt = 110

// folder writes long sentences as folded block scalars, which the YAML encoder
// cannot: it leaves a token in their place and replaces it afterwards.
type folder struct {
	texts []string
}

func (f *folder) text(s string) string {
	if len(s) < foldAt-30 || strings.Contains(s, "\n") {
		return s
	}
	f.texts = append(f.texts, s)
	return fmt.Sprintf("folded-text-%d-", len(f.texts)-1)
}

func (f *folder) list(sentences ...string) []string {
	out := make([]string, len(sentences))
	for i, s := range sentences {
		out[i] = f.text(s)
	}
	return out
}

// unfold puts the texts into the document.
func (f *folder) unfold(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		for i, text := range f.texts {
			token := fmt.Sprintf("folded-text-%d-", i)
			if head, ok := strings.CutSuffix(strings.TrimRight(line, "\n"), token); ok {
				indent := strings.Repeat(" ", len(head)-len(strings.TrimLeft(head, " "))+2)
				line = head + ">-\n" + wrap(text, indent)
				break
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

func wrap(text, indent string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > foldAt:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\n")
	return b.String()
}
