package ciyaml

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fill reads the definition of a job.
func (r *reader) fill(j *Job, c *yaml.Node) (err error) {
	if j.Stage, err = r.stage(c); err != nil {
		return err
	}
	if n := get(c, "image"); n != nil {
		if j.Image, err = r.image(n, "image"); err != nil {
			return err
		}
	}
	if n := get(c, "services"); n != nil {
		if n.Kind != yaml.SequenceNode {
			return r.errorf(n, "services is no list of images")
		}
		for _, item := range n.Content {
			s, err := r.image(item, "services")
			if err != nil {
				return err
			}
			j.Services = append(j.Services, s)
		}
	}
	if n := get(c, "variables"); n != nil {
		if j.Variables, err = r.variables(n); err != nil {
			return err
		}
	}
	if get(c, "script") == nil {
		return r.errorf(c, "job %s has no script", j.Name)
	}
	for _, part := range []struct {
		key string
		to  *[]string
	}{{"before_script", &j.Script}, {"script", &j.Script}, {"after_script", &j.After}} {
		if n := get(c, part.key); n != nil {
			lines, err := r.lines(n, part.key, 0)
			if err != nil {
				return err
			}
			*part.to = append(*part.to, lines...)
		}
	}
	return nil
}

// stage returns the job's stage; GitLab's default is test.
func (r *reader) stage(c *yaml.Node) (string, error) {
	stages := []string{".pre", "build", "test", "deploy", ".post"}
	if n := get(r.root, "stages"); n != nil {
		names, err := r.texts(n, "stages")
		if err != nil {
			return "", err
		}
		stages = append(names, ".pre", ".post")
	}
	n := get(c, "stage")
	if n == nil {
		return "test", nil
	}
	name, err := r.text(n, "stage")
	if err == nil && !slices.Contains(stages, name) {
		err = r.errorf(n, "stage %q is none of the file's stages: %s", name, strings.Join(stages, ", "))
	}
	return name, err
}

// image reads the image of a job or a service.
func (r *reader) image(n *yaml.Node, where string) (i Image, err error) {
	if n.Kind == yaml.ScalarNode {
		i.Name, err = r.text(n, where)
		return i, err
	}
	if n.Kind != yaml.MappingNode {
		return i, r.errorf(n, "%s: write the name of an image, or a mapping with the key name", where)
	}
	for key, value := range pairs(n) {
		if isNull(value) {
			continue
		}
		at := where + ":" + key.Value
		switch key.Value {
		case "name":
			i.Name, err = r.text(value, at)
		case "entrypoint":
			i.Entrypoint, err = r.texts(value, at)
		case "pull_policy":
			i.PullPolicy, err = r.texts(value, at)
		case "docker":
			err = r.dockerOptions(&i, value, at)
		case "alias", "command", "variables":
			if where != "services" {
				return i, r.errorf(key, "%s: only services have it", at)
			}
			err = r.serviceOption(&i, key.Value, value, at)
		default:
			r.note(key, "%s is not understood: it has no effect", at)
		}
		if err != nil {
			return i, err
		}
	}
	if i.Name == "" {
		return i, r.errorf(n, "%s has no name", where)
	}
	return i, nil
}

func (r *reader) serviceOption(i *Image, key string, value *yaml.Node, at string) (err error) {
	switch key {
	case "alias":
		i.Alias, err = r.text(value, at)
	case "command":
		i.Command, err = r.texts(value, at)
	default:
		i.Variables, err = r.variables(value)
	}
	return err
}

func (r *reader) dockerOptions(i *Image, n *yaml.Node, where string) (err error) {
	for key, value := range pairs(n) {
		switch key.Value {
		case "user":
			i.User, err = r.value(value, where+":user")
		case "platform":
			i.Platform, err = r.text(value, where+":platform")
		default:
			r.note(key, "%s:%s is not understood: it has no effect", where, key.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// variables reads a mapping of variables.
func (r *reader) variables(n *yaml.Node) (all []Variable, err error) {
	if n.Kind != yaml.MappingNode {
		return nil, r.errorf(n, "variables is no mapping of names to values")
	}
	for key, value := range pairs(n) {
		v := Variable{Name: key.Value}
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") {
			return nil, r.errorf(key, "%q is not the name of a variable", v.Name)
		}
		from := value
		if value.Kind == yaml.MappingNode {
			if from = get(value, "value"); from == nil {
				from = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: value.Line}
			}
			if e := get(value, "expand"); e != nil {
				v.Raw = e.Value == "false"
			}
		}
		if v.Value, err = r.value(from, "the variable "+v.Name); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// mostNested is GitLab's limit for lists in lists of script lines.
const mostNested = 10

// lines reads a script: a text, or a list of texts and such lists.
func (r *reader) lines(n *yaml.Node, key string, depth int) (all []string, err error) {
	switch {
	case n.Kind == yaml.ScalarNode:
		line, err := r.text(n, key)
		return []string{line}, err
	case n.Kind != yaml.SequenceNode:
		return nil, r.errorf(n, "a line of %s is a mapping; a line with a colon and a space needs quotes around it", key)
	case depth > mostNested:
		return nil, r.errorf(n, "%s is nested more than %d levels deep", key, mostNested)
	}
	for _, c := range n.Content {
		lines, err := r.lines(c, key, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return all, nil
}

// texts reads a text or a list of texts.
func (r *reader) texts(n *yaml.Node, where string) (all []string, err error) {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	for _, c := range list {
		text, err := r.text(c, where)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// text reads a text. GitLab takes no number or boolean for one.
func (r *reader) text(n *yaml.Node, where string) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", r.errorf(n, "%s: a text is needed, not a list or mapping", where)
	}
	if isBoolean(n) || n.ShortTag() != "!!str" {
		return "", r.errorf(n, "%s: GitLab does not read %s as a text; write \"%[2]s\", in quotes", where, n.Value)
	}
	return n.Value, nil
}

// booleans are the words that GitLab's YAML 1.1 reads as booleans without quotes.
var booleans = []string{"true", "false", "yes", "no", "on", "off"}

func isBoolean(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && slices.Contains(booleans, strings.ToLower(n.Value))
}

// value reads a text or a number. GitLab writes numbers in their shortest form: 1.10 becomes 1.1, and 010 becomes 8.
func (r *reader) value(n *yaml.Node, where string) (string, error) {
	if n.Kind != yaml.ScalarNode || isBoolean(n) {
		return r.text(n, where)
	}
	switch n.ShortTag() {
	case "!!int":
		var i int64
		if err := n.Decode(&i); err == nil {
			return strconv.FormatInt(i, 10), nil
		}
		return n.Value, nil // longer than 64 bits
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil {
			return "", r.errorf(n, "%s: %q is not a number", where, n.Value)
		}
		text := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text, nil
	}
	return r.text(n, where)
}
