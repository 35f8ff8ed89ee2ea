package ansible

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// doc prints the documentation of one module, or of all, each as a YAML
// document.
func (p program) doc(words []string) int {
	if len(words) > 1 {
		return p.refuse(usage)
	}
	list := p.modules
	if len(words) == 1 {
		m, ok := p.byName(words[0])
		if !ok {
			return p.refuse(p.unknownModule(words[0]))
		}
		list = []Module{m}
	}
	for _, m := range list {
		text, err := m.Documentation()
		if err != nil {
			return p.refuse("cidx-helper: " + err.Error())
		}
		if _, err := p.out.Write(text); err != nil {
			return 1
		}
	}
	return 0
}

// Author stands in every module's documentation.
const author = "The cidx-cluster authors (@cidx-cluster)"

// Documentation renders what ansible-doc reads beside a module (a YAML file
// with the keys DOCUMENTATION, EXAMPLES and RETURN), from the same structs that
// Decode reads.
func (m Module) Documentation() ([]byte, error) {
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
		"options", m.options(&fold),
	)
	example, err := examples(m.Doc)
	if err != nil {
		return nil, err
	}
	document := mapping("DOCUMENTATION", head, "EXAMPLES", example, "RETURN", m.returns(&fold))
	var b bytes.Buffer
	b.WriteString("---\n# Made of the Go structs by: go test ./modules -run TestDocumentation -update\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return nil, fmt.Errorf("document %s: %w", m.Doc.Name, err)
	}
	return []byte(fold.unfold(b.String())), nil
}

func examples(d Doc) (*yaml.Node, error) {
	var parsed yaml.Node
	if err := yaml.Unmarshal([]byte(d.Example), &parsed); err != nil {
		return nil, fmt.Errorf("document %s: example: %w", d.Name, err)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: strings.TrimSpace(d.Example) + "\n"}, nil
}

func (m Module) options(fold *folder) *yaml.Node {
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
			add(o, "default", a.documentedDefault())
		}
		if len(a.Choices) > 0 {
			add(o, "choices", a.Choices)
		}
		add(options, a.Name, o)
	}
	return options
}

// documentedDefault is the default with the argument's type.
func (a Argument) documentedDefault() any {
	switch a.Type {
	case "bool":
		v, _ := toBool(a.Default)
		return v
	case "int":
		v, _ := toInt(a.Default)
		return v
	case "float":
		v, _ := toFloat(a.Default)
		return v
	case "list":
		v, _ := toList(a.Default)
		return v
	}
	return quoted(a.Default)
}

// returns documents what every reply has, then the module's own keys.
func (m Module) returns(fold *folder) *yaml.Node {
	list := append([]Return{
		{"msg", "str", "One sentence on what was done or found; in a failure all problems, one a line."},
		{"problems", "list", "In a failure everything that was found, each with C(what), C(at) and C(fix)."},
		{"lines", "list", "The lines of the transcript."},
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
