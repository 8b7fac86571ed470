package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// decode reads TOML into cfg, key by key: the library's own decoding stops at the first
// error and ignores unknown keys. It adds every fault to k. It returns false if data is not
// TOML, and then leaves cfg unchanged.
func decode(data string, cfg *Config, k *checker) bool {
	// The library removes a byte order mark before it counts offsets.
	data = strings.TrimPrefix(data, "\ufeff")
	var root map[string]toml.Primitive
	md, err := toml.Decode(data, &root)
	if err != nil {
		k.syntax(err)
		return false
	}
	d := &decoder{checker: k, md: md, data: data}
	d.table(nil, root, reflect.ValueOf(cfg).Elem())
	return true
}

type decoder struct {
	*checker
	md   toml.MetaData
	data string
}

// table decodes the keys of one table into the fields of a section.
func (d *decoder) table(path toml.Key, keys map[string]toml.Primitive, section reflect.Value) {
	for name, raw := range keys {
		key := append(slices.Clone(path), name)
		value, line := d.inspect(raw)
		d.lines[key.String()] = line
		field, known := fieldOf(section, name)
		switch {
		case !known:
			d.fault(key.String(), line, unknownKey(key.String(), section.Type()))
		case isSection(field.Type()):
			d.section(key, raw, value, field)
		default:
			d.value(key, raw, value, field)
		}
	}
}

func (d *decoder) section(key toml.Key, raw toml.Primitive, value any, field reflect.Value) {
	var keys map[string]toml.Primitive
	if _, ok := value.(map[string]any); !ok || d.md.PrimitiveDecode(raw, &keys) != nil {
		d.bad(key.String(), "found %s; write a table, [%s]", describe(value), key)
		return
	}
	d.table(key, keys, field)
}

// value sets the field. If it cannot, it keeps the old value and records why.
func (d *decoder) value(key toml.Key, raw toml.Primitive, value any, field reflect.Value) {
	decoded := reflect.New(field.Type())
	err := d.md.PrimitiveDecode(raw, decoded.Interface())
	var said toml.ParseError // wraps an error of one of our types, or of a range
	switch {
	case err == nil:
		field.Set(decoded.Elem())
	case errors.As(err, &said):
		d.bad(key.String(), "%s", said.Message)
	default:
		d.bad(key.String(), "found %s; write %s", describe(value), wanted(field.Type()))
	}
}

// probe fails on purpose: the library gives the position of a key only in the ParseError
// around an Unmarshaler's error.
type probe struct{ value any }

var errProbe = errors.New("probe")

func (p *probe) UnmarshalTOML(value any) error {
	p.value = value
	return errProbe
}

// inspect returns a key's plain value and its line.
func (d *decoder) inspect(raw toml.Primitive) (value any, line int) {
	var p probe
	var at toml.ParseError
	if errors.As(d.md.PrimitiveDecode(raw, &p), &at) && at.Position.Line > 0 {
		// Position.Line is where a multi-line string ends; Start is where it starts.
		return p.value, 1 + strings.Count(d.data[:at.Position.Start], "\n")
	}
	return p.value, d.firstLine(raw)
}

// firstLine returns the first line below a table that [a.b] or a.b = 1 only implies: such a
// table has no position of its own.
func (d *decoder) firstLine(raw toml.Primitive) int {
	var keys map[string]toml.Primitive
	if d.md.PrimitiveDecode(raw, &keys) != nil {
		return 0
	}
	first := 0
	for _, below := range keys {
		if _, line := d.inspect(below); first == 0 || line < first {
			first = line
		}
	}
	return first
}

// describe names the kind of a decoded TOML value, and never the value, which may be
// secret.
func describe(value any) string {
	switch value := value.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	case []any:
		for _, element := range value {
			if _, ok := element.(string); !ok {
				return "a list that contains " + describe(element)
			}
		}
		return "a list"
	}
	return fmt.Sprintf("a value of type %T", value)
}

// wanted names the kind of value that a field's type takes.
func wanted(field reflect.Type) string {
	switch field.Kind() {
	case reflect.String:
		return "a string in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number without quotes"
	case reflect.Float64:
		return "a number without quotes"
	case reflect.Struct: // a type with its own UnmarshalTOML, which explains more
		return "a string in quotes"
	case reflect.Slice:
		return `a list of strings, ["…", "…"]`
	}
	return field.String()
}
