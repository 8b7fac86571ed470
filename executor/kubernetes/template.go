package kubernetes

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
)

// addTemplate merges the administrator's template into a pod. It uses the merge keys of a strategic merge patch, which are
// in the tags of the API's types, and only adds: what the executor needs stays. The library for such patches can remove,
// and brings fifteen modules.
func (b *Backend) addTemplate(p *corev1.Pod) error {
	t, err := config.ParsePodTemplate(b.Config.PodTemplate)
	if err != nil {
		return fault.Systemf("kubernetes.pod_template: %w", err)
	}
	// Not every job has each of the executor's containers.
	t.Spec.Containers = slices.DeleteFunc(t.Spec.Containers, func(c corev1.Container) bool {
		return c.Image == "" && !slices.ContainsFunc(p.Spec.Containers, func(own corev1.Container) bool { return own.Name == c.Name })
	})
	for _, part := range []struct {
		name     string
		to, from any
	}{{"metadata.labels", &p.Labels, &t.Labels}, {"metadata.annotations", &p.Annotations, &t.Annotations}, {"spec", &p.Spec, &t.Spec}} {
		if err := add(part.name, reflect.ValueOf(part.to).Elem(), reflect.ValueOf(part.from).Elem(), ""); err != nil {
			return fault.Systemf("kubernetes.pod_template: %w", err)
		}
	}
	return nil
}

// add adds a value to another of the same type. The tag is that of their field. If both are set and differ, it fails.
func add(at string, to, from reflect.Value, tag reflect.StructTag) error {
	switch {
	case unset(from):
		return nil
	case unset(to):
		to.Set(from)
		return nil
	case reflect.DeepEqual(to.Interface(), from.Interface()):
		return nil
	}
	switch kind := from.Kind(); {
	case kind == reflect.Pointer && open(from.Type().Elem()):
		return add(at, to.Elem(), from.Elem(), tag)
	case kind == reflect.Struct && open(from.Type()):
		for n := range from.NumField() {
			f := from.Type().Field(n)
			name := at
			if json := nameOf(f); json != "" {
				name += "." + json
			}
			if err := add(name, to.Field(n), from.Field(n), f.Tag); err != nil {
				return err
			}
		}
		return nil
	case kind == reflect.Map:
		return addMap(at, to, from)
	case kind == reflect.Slice && open(from.Type().Elem()):
		return addList(at, to, from, tag)
	}
	return fmt.Errorf("%s is set by the job or by another key of the configuration: remove it", at)
}

// addMap is add for maps.
func addMap(at string, to, from reflect.Value) error {
	for _, key := range from.MapKeys() {
		old, value := to.MapIndex(key), from.MapIndex(key)
		switch {
		case !old.IsValid():
			to.SetMapIndex(key, value)
		case !reflect.DeepEqual(old.Interface(), value.Interface()):
			return fmt.Errorf("%s.%v is set by the job or by another key of the configuration: remove it", at, key)
		}
	}
	return nil
}

// addList is add for lists of structures. Elements with the same merge key are merged; the others are appended.
func addList(at string, to, from reflect.Value, tag reflect.StructTag) error {
	key := tag.Get("patchMergeKey")
	for n := range from.Len() {
		more, own := from.Index(n), -1
		for m := 0; key != "" && m < to.Len(); m++ {
			if reflect.DeepEqual(keyed(to.Index(m), key), keyed(more, key)) {
				own = m
			}
		}
		if own < 0 {
			to.Set(reflect.Append(to, more))
		} else if err := add(fmt.Sprintf("%s[%v]", at, keyed(more, key)), to.Index(own), more, ""); err != nil {
			return err
		}
	}
	return nil
}

// keyed is the value of a structure's field with this name in JSON.
func keyed(v reflect.Value, name string) any {
	for n := range v.NumField() {
		if nameOf(v.Type().Field(n)) == name {
			return v.Field(n).Interface()
		}
	}
	return nil
}

func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// unset reports whether a value counts as not set. A pointer is set whatever it points to.
func unset(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
}

// open reports whether a type is a structure whose fields can be set one by one.
func open(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for n := range t.NumField() {
		if !t.Field(n).IsExported() {
			return false
		}
	}
	return true
}
