package ciyaml

import (
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// pairs are the keys and values of a mapping; none if n is no mapping.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(*yaml.Node, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// find returns the position of a key's value in the content of a mapping, or -1.
func find(n *yaml.Node, key string) int {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return i + 1
			}
		}
	}
	return -1
}

// get returns the value of a key; nil if there is none or it is null, with which GitLab takes a key away.
func get(n *yaml.Node, key string) *yaml.Node {
	if i := find(n, key); i >= 0 && !isNull(n.Content[i]) {
		return n.Content[i]
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// set sets the value of a key.
func set(n, key, value *yaml.Node) {
	if i := find(n, key.Value); i >= 0 {
		n.Content[i-1], n.Content[i] = key, value
		return
	}
	n.Content = append(n.Content, key, value)
}

// plain copies a tree with its aliases and merge keys (https://yaml.org/type/merge.html) replaced. Above are the
// aliases that lead to n.
func (r *reader) plain(n *yaml.Node, above []*yaml.Node, depth int) (*yaml.Node, error) {
	if r.nodes++; r.nodes > mostNodes {
		return nil, r.errorf(n, "with its anchors replaced the file has more than %d values", mostNodes)
	}
	if depth > mostDepth {
		return nil, r.errorf(n, "the file is nested more than %d levels deep", mostDepth)
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(above, n.Alias) {
			return nil, r.errorf(n, "the anchor %s contains itself", n.Value)
		}
		return r.plain(n.Alias, append(above[:len(above):len(above)], n.Alias), depth+1)
	}
	all := *n
	all.Anchor, all.Content = "", nil
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			value, err := r.plain(c, above, depth+1)
			if err != nil {
				return nil, err
			}
			all.Content = append(all.Content, value)
		}
		return &all, nil
	}
	var merged []*yaml.Node
	for key, value := range pairs(n) {
		if key.Kind != yaml.ScalarNode {
			return nil, r.errorf(key, "a key is not a text")
		}
		v, err := r.plain(value, above, depth+1)
		if err != nil {
			return nil, err
		}
		if key.Value == "<<" && key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
			sources := []*yaml.Node{v}
			if v.Kind == yaml.SequenceNode {
				sources = v.Content
			}
			for _, s := range sources {
				if s.Kind != yaml.MappingNode {
					return nil, r.errorf(key, "<< takes a mapping, or a list of mappings")
				}
			}
			merged = append(merged, sources...)
			continue
		}
		if i := find(&all, key.Value); i >= 0 {
			r.note(key, "%q is also in line %d: the last one counts", key.Value, all.Content[i-1].Line)
		}
		set(&all, key, v)
	}
	for _, m := range merged { // keys of the mapping itself, and of earlier merged ones, take precedence
		for key, value := range pairs(m) {
			if find(&all, key.Value) < 0 {
				set(&all, key, value)
			}
		}
	}
	return &all, nil
}

// mostReferences is GitLab's limit for references in references.
const mostReferences = 10

// referenced copies a tree with each !reference [key, ...] replaced by what it names. Above are the references that
// lead to n.
func (r *reader) referenced(n *yaml.Node, above []string) (*yaml.Node, error) {
	if r.nodes++; r.nodes > mostNodes {
		return nil, r.errorf(n, "with its references replaced the file has more than %d values", mostNodes)
	}
	if n.Tag == "!reference" {
		var path []string
		for _, c := range n.Content {
			path = append(path, c.Value)
		}
		name := "!reference [" + strings.Join(path, ", ") + "]"
		switch {
		case n.Kind != yaml.SequenceNode || len(path) == 0:
			return nil, r.errorf(n, "!reference takes a list of keys, such as [.setup, script]")
		case slices.Contains(above, name):
			return nil, r.errorf(n, "%s leads to itself", name)
		case len(above) >= mostReferences:
			return nil, r.errorf(n, "%s: references are nested more than %d levels deep", name, mostReferences)
		}
		to := r.root
		for _, key := range path {
			if to = get(to, key); to == nil {
				return nil, r.errorf(n, "%s: there is no %q", name, key)
			}
		}
		return r.referenced(to, append(above[:len(above):len(above)], name))
	}
	all := *n
	all.Content = nil
	for _, c := range n.Content {
		value, err := r.referenced(c, above)
		if err != nil {
			return nil, err
		}
		all.Content = append(all.Content, value)
	}
	return &all, nil
}

// mostExtends is GitLab's limit for jobs that extend each other.
const mostExtends = 11

// extended returns the definition of a job or hidden job with those that it extends. Above are the jobs that lead to it.
func (r *reader) extended(name string, above []string) (*yaml.Node, error) {
	i := find(r.root, name)
	own, err := r.referenced(r.root.Content[i], nil)
	if err != nil {
		return nil, err
	}
	if own.Kind != yaml.MappingNode {
		return nil, r.errorf(own, "%s is no job: a job is a mapping with the key script", name)
	}
	from := get(own, "extends")
	if from == nil {
		return own, nil
	}
	names, err := r.texts(from, "extends")
	if err != nil {
		return nil, err
	}
	above = append(above[:len(above):len(above)], name)
	var base *yaml.Node
	for _, other := range names {
		switch {
		case find(r.root, other) < 0 || slices.Contains(rootKeywords, other):
			return nil, r.errorf(from, "%s extends %q, which the file does not have", name, other)
		case slices.Contains(above, other):
			return nil, r.errorf(from, "%s extends itself: %s", other, strings.Join(append(above, other), ", "))
		case len(above) >= mostExtends:
			return nil, r.errorf(from, "%s: jobs extend each other more than %d levels deep", name, mostExtends)
		}
		next, err := r.extended(other, above)
		if err != nil {
			return nil, err
		}
		base = merge(base, next)
	}
	own.Content = slices.Delete(own.Content, find(own, "extends")-1, find(own, "extends")+1)
	return merge(base, own), nil
}

// merge returns base with the values of over: mappings are merged, everything else is replaced.
func merge(base, over *yaml.Node) *yaml.Node {
	if base == nil || base.Kind != yaml.MappingNode || over.Kind != yaml.MappingNode {
		return over
	}
	all := *over
	all.Content = slices.Clone(base.Content)
	for key, value := range pairs(over) {
		if i := find(&all, key.Value); i >= 0 {
			value = merge(all.Content[i], value)
		}
		set(&all, key, value)
	}
	return &all
}

// inheritable are the keys of default: (https://docs.gitlab.com/ci/yaml/#default), and oldDefaults those that the file
// itself may have instead.
var (
	inheritable = []string{"after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "identity", "image", "interruptible", "retry", "services", "tags", "timeout"}
	oldDefaults = []string{"image", "services", "cache", "before_script", "after_script"}
)

// inherited returns the definition of a job with the defaults and the variables of the file.
func (r *reader) inherited(own *yaml.Node) (*yaml.Node, error) {
	all := *own
	all.Content = slices.Clone(own.Content)
	takes := func(what, key string) (bool, error) {
		rule := get(get(own, "inherit"), what)
		switch {
		case rule == nil:
			return true, nil
		case rule.Kind == yaml.ScalarNode && rule.ShortTag() == "!!bool":
			return rule.Value == "true", nil
		}
		names, err := r.texts(rule, "inherit: "+what)
		return slices.Contains(names, key), err
	}
	add := func(from *yaml.Node, keys []string) error {
		for _, key := range keys {
			i := find(from, key)
			if i < 0 || get(&all, key) != nil {
				continue
			}
			if ok, err := takes("default", key); err != nil {
				return err
			} else if !ok {
				continue
			}
			value, err := r.referenced(from.Content[i], nil)
			if err != nil {
				return err
			}
			set(&all, from.Content[i-1], value)
		}
		return nil
	}
	if err := add(get(r.root, "default"), inheritable); err != nil {
		return nil, err
	}
	if err := add(r.root, oldDefaults); err != nil {
		return nil, err
	}
	global := get(r.root, "variables")
	if global == nil {
		return &all, nil
	}
	variables := &yaml.Node{Kind: yaml.MappingNode, Line: global.Line}
	for key, value := range pairs(global) {
		if ok, err := takes("variables", key.Value); err != nil {
			return nil, err
		} else if ok {
			value, err := r.referenced(value, nil)
			if err != nil {
				return nil, err
			}
			set(variables, key, value)
		}
	}
	for key, value := range pairs(get(&all, "variables")) { // a job's variable replaces the whole of a global one
		set(variables, key, value)
	}
	set(&all, &yaml.Node{Kind: yaml.ScalarNode, Value: "variables", Line: global.Line}, variables)
	return &all, nil
}
