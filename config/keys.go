package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/agext/levenshtein"
)

// isSection reports whether t is a section: a struct that does not read itself.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[toml.Unmarshaler]())
}

// fieldOf returns the field of a section that a key sets. The name must match exactly, which
// the library does not require.
func fieldOf(section reflect.Value, name string) (reflect.Value, bool) {
	for field, value := range section.Fields() {
		if field.Tag.Get("toml") == name {
			return value, true
		}
	}
	return reflect.Value{}, false
}

// keyField is a field of a section with the full path of its key.
type keyField struct {
	key string
	reflect.StructField
}

// fieldsOf lists the fields of a section and of its subsections, in their order.
func fieldsOf(section reflect.Type, path string) []keyField {
	var all []keyField
	for field := range section.Fields() {
		key := strings.TrimPrefix(path+"."+field.Tag.Get("toml"), ".")
		all = append(all, keyField{key, field})
		if isSection(field.Type) {
			all = append(all, fieldsOf(field.Type, key)...)
		}
	}
	return all
}

// keysOf lists the keys of a section and of its subsections, in their order.
func keysOf(section reflect.Type) []string {
	var keys []string
	for _, field := range fieldsOf(section, "") {
		keys = append(keys, field.key)
	}
	return keys
}

// unknownKey returns the message for an unknown key of section, with the most similar known
// key.
func unknownKey(key string, section reflect.Type) string {
	if meant := nearest(key, keysOf(reflect.TypeFor[Config]())); meant != "" {
		return fmt.Sprintf("unknown key %s; did you mean %s?", key, meant)
	}
	var here []string
	for field := range section.Fields() {
		here = append(here, field.Tag.Get("toml"))
	}
	return fmt.Sprintf("unknown key %s; the keys here are %s", key, strings.Join(here, ", "))
}

// nearest returns the known key that needs the fewest changes of letters: first by the full
// path, then by the name alone, for a key in the wrong table. It returns "" if none is
// similar.
func nearest(key string, known []string) string {
	name := nameOf(key)
	third := len(name) / 3
	// A swap of two letters counts as two changes and is common in short names, too.
	if meant := fewestChanges(key, known, max(third, 2), func(k string) string { return k }); meant != "" {
		return meant
	}
	return fewestChanges(name, known, third, nameOf)
}

// fewestChanges returns the first of known whose part differs least from text, by at most
// that many letters; "" if there is none.
func fewestChanges(text string, known []string, most int, part func(string) string) string {
	best := ""
	for _, k := range known {
		if d := levenshtein.Distance(text, part(k), nil); d < most || d == most && best == "" {
			best, most = k, d
		}
	}
	return best
}

// nameOf returns a key without the path of its table.
func nameOf(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// Key is a key of the configuration file. Type is for readers: text, size, duration, amount, number, true or
// false, a list of one of these, or section.
type Key struct{ Name, Type string }

// Keys lists all keys in the order of the file's sections.
func Keys() (all []Key) {
	for _, f := range fieldsOf(reflect.TypeFor[Config](), "") {
		all = append(all, Key{f.key, typeName(f.Type)})
	}
	return all
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Amount]():
		return "amount"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "section"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Pointer:
		return typeName(t.Elem())
	}
	return "number"
}
