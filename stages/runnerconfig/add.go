package runnerconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Add adds the section to the runner of this name in text, a config.toml. Keys that are there and empty,
// such as the run_exec = "" of `gitlab-runner register`, get their value; keys that are there with a
// time of the administrator's, and those that are not in the section, stay. If nothing is missing, it
// returns text itself.
//
// An error names what is in the way: no such runner, several, another executor, or a section for another
// program. It contains no value of another key, because tokens are among them.
func Add(text []byte, runner string, section []Key) ([]byte, error) {
	before, err := decode(text)
	if err != nil {
		return nil, err
	}
	at, err := find(before, runner)
	if err != nil {
		return nil, err
	}
	missing, err := compare(before[at], section)
	if err != nil {
		return nil, fmt.Errorf("the runner %q: %w", runner, err)
	}
	if len(missing) == 0 {
		return text, nil
	}
	places, err := locate(text)
	if err == nil && len(places) != len(before) {
		err = errors.New("the runners are not written as [[runners]]: they cannot be edited here")
	}
	if err != nil {
		return nil, err
	}
	changed, err := places[at].add(text, missing)
	if err != nil {
		return nil, fmt.Errorf("the runner %q: %w", runner, err)
	}
	return changed, verify(text, changed, at, missing)
}

// decode returns the runners of a config.toml.
func decode(text []byte) ([]map[string]any, error) {
	var file struct {
		Runners []map[string]any `toml:"runners"`
	}
	err := toml.Unmarshal(text, &file)
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		return nil, fmt.Errorf("not TOML from line %d on: correct it first", max(at.Position.Line, 1)) // its text may be a token
	}
	if err != nil {
		return nil, errors.New("runners is not a list of tables, [[runners]]: correct it first")
	}
	return file.Runners, nil
}

// find returns the index of the runner with this name.
func find(runners []map[string]any, name string) (int, error) {
	var names []string
	at, count := 0, 0
	for n, r := range runners {
		found, _ := r["name"].(string)
		names = append(names, fmt.Sprintf("%q", found))
		if found == name {
			at = n
			count++
		}
	}
	switch {
	case len(runners) == 0:
		return 0, errors.New("there is no runner yet: register one first, `install` without --runner prints the command")
	case count == 0:
		return 0, fmt.Errorf("there is no runner %q; there are %s", name, strings.Join(names, ", "))
	case count > 1:
		return 0, fmt.Errorf("%d runners have the name %q: give each a name of its own first", count, name)
	}
	return at, nil
}

// compare returns the keys that the runner lacks or has empty.
func compare(runner map[string]any, section []Key) (missing []Key, err error) {
	switch executor, _ := runner["executor"].(string); executor {
	case "custom":
	case "":
		return nil, errors.New(`it has no key executor: write executor = "custom" first`)
	default:
		return nil, fmt.Errorf(`its executor is %q: register a runner of its own, or write executor = "custom" first`, executor)
	}
	custom, ok := runner["custom"].(map[string]any)
	if _, there := runner["custom"]; there && !ok {
		return nil, errors.New("custom is not a table: write [runners.custom]")
	}
	var other []string
	for _, k := range section {
		value, there := custom[k.Name]
		switch {
		case !there || isEmpty(value):
			missing = append(missing, k)
		case same(value, k.Value):
		case isNumber(value) && isNumber(k.Value): // a time that the administrator chose
		default:
			other = append(other, k.Name)
		}
	}
	if len(other) > 0 {
		return nil, fmt.Errorf("its section [runners.custom] has other values already, in %s: remove them, or register a runner of its own", strings.Join(other, ", "))
	}
	return missing, nil
}

func isNumber(value any) bool { _, ok := value.(int64); return ok }

func isEmpty(value any) bool {
	list, ok := value.([]any)
	return value == "" || ok && len(list) == 0
}

func same(found, want any) bool { return reflect.DeepEqual(found, plain(want)) }

// plain converts a value to what a decoded file has in its place.
func plain(value any) any {
	list, ok := value.([]string)
	if !ok {
		return value
	}
	var all []any
	for _, v := range list {
		all = append(all, v)
	}
	return all
}

// add adds the keys to the section, which it writes if there is none.
func (p *place) add(text []byte, missing []Key) ([]byte, error) {
	if p.closed {
		return nil, errors.New("its section is written as custom = {...} or custom.key = ...: write it as [runners.custom] first")
	}
	type edit struct {
		start, end int
		text       string
	}
	var edits []edit
	var fresh []Key
	for _, k := range missing {
		switch at, there := p.keys[k.Name]; {
		case !there:
			fresh = append(fresh, k)
		case bytes.ContainsRune(text[at.start:at.end], '\n'): // comments may be in it
			return nil, fmt.Errorf("%s is an empty list of several lines: write [] first", k.Name)
		default:
			edits = append(edits, edit{at.start, at.end, tomlValue(k.Value)})
		}
	}
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	at, indent := p.end, p.indent
	var lines []string
	if p.custom > 0 {
		at, indent = p.custom, p.customIndent
	} else {
		lines = append(lines, indent+"[runners.custom]")
	}
	for _, k := range fresh {
		lines = append(lines, indent+"  "+k.line())
	}
	if len(fresh) > 0 {
		edits = append(edits, edit{at, at, end + strings.Join(lines, end)})
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	var changed []byte
	done := 0
	for _, e := range edits {
		changed = append(append(changed, text[done:e.start]...), e.text...)
		done = e.end
	}
	return append(changed, text[done:]...), nil
}

// verify reads the result: it must differ from the text before in these keys alone.
func verify(before, after []byte, at int, added []Key) error {
	var old, got map[string]any
	if err := toml.Unmarshal(before, &old); err != nil {
		return errors.New("the file cannot be read")
	}
	runner := old["runners"].([]map[string]any)[at]
	custom, ok := runner["custom"].(map[string]any)
	if !ok {
		custom = map[string]any{}
		runner["custom"] = custom
	}
	for _, k := range added {
		custom[k.Name] = plain(k.Value)
	}
	if err := toml.Unmarshal(after, &got); err != nil || !reflect.DeepEqual(old, got) {
		return errors.New("the file has a form that cannot be edited here: write the section by hand, `install --print` shows it")
	}
	return nil
}
