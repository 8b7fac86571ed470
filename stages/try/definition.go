package try

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab-sysbox-executor/stages/ciyaml"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/script"
)

// fromFlags returns the definition of a job that the command line describes.
func (f *flags) fromFlags(args []string) (d ciyaml.Job, err error) {
	d.Script = args
	if f.script != "" {
		if len(args) > 0 {
			return d, fmt.Errorf("give either --script or script lines, not both")
		}
		text, err := os.ReadFile(f.script)
		if err != nil {
			return d, err
		}
		d.Script = []string{strings.TrimSuffix(string(text), "\n")}
	}
	if len(d.Script) == 0 {
		return d, fmt.Errorf("there is no script: write it after --, name a file with --script, or a job of a file with --yaml")
	}
	return d, f.override(&d)
}

// fromFile returns the definition of a job of a .gitlab-ci.yml.
func (f *flags) fromFile(args []string) (d ciyaml.Job, err error) {
	switch {
	case f.script != "":
		return d, fmt.Errorf("give either --script or --yaml, not both")
	case len(args) != 1:
		return d, fmt.Errorf("--yaml needs the name of one job, for example: try --yaml .gitlab-ci.yml build")
	}
	text, err := os.ReadFile(f.yaml)
	if err != nil {
		return d, err
	}
	if d, err = ciyaml.Read(filepath.Base(f.yaml), text, args[0]); err != nil {
		return d, err
	}
	return d, f.override(&d)
}

// override changes a definition as the flags say.
func (f *flags) override(d *ciyaml.Job) error {
	if f.image != "" {
		d.Image = ciyaml.Image{Name: f.image}
	}
	for _, s := range f.services {
		service := ciyaml.Image{Name: s}
		if alias, name, ok := strings.Cut(s, "="); ok {
			service = ciyaml.Image{Name: name, Alias: alias}
		}
		d.Services = append(d.Services, service)
	}
	for _, kv := range f.variables {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return fmt.Errorf("--variable %q is not NAME=value", kv)
		}
		d.Variables = append(d.Variables, ciyaml.Variable{Name: name, Value: value, Raw: true})
	}
	return nil
}

// expand returns variables with the last value of each, in which other variables are replaced as GitLab Runner does
// (common/variables.go): $NAME and ${NAME} by the value, or nothing if there is none, and $$ by a dollar sign.
func expand(all []ciyaml.Variable) ([]script.Variable, error) {
	last := map[string]ciyaml.Variable{}
	for _, v := range all {
		last[v.Name] = v
	}
	e := expander{variables: last, done: map[string]string{}, above: map[string]bool{}}
	var out []script.Variable
	for _, v := range all {
		if _, ok := e.done[v.Name]; ok && contains(out, v.Name) {
			continue
		}
		value := e.value(v.Name)
		if e.err != nil {
			return nil, e.err
		}
		out = append(out, script.Variable{Name: v.Name, Value: value})
	}
	return out, nil
}

func contains(all []script.Variable, name string) bool {
	for _, v := range all {
		if v.Name == name {
			return true
		}
	}
	return false
}

// longestVariable bounds an expanded value, in bytes: no environment can have a longer one (execve(2)).
const longestVariable = 128 << 10

type expander struct {
	variables map[string]ciyaml.Variable
	done      map[string]string
	above     map[string]bool // variables whose values lead to this one
	err       error
}

func (e *expander) value(name string) string {
	if value, ok := e.done[name]; ok || e.err != nil {
		return value
	}
	v, ok := e.variables[name]
	switch {
	case !ok:
		return ""
	case e.above[name]:
		e.err = fmt.Errorf("the value of the variable %s leads to itself", name)
		return ""
	}
	e.above[name] = true
	value := v.Value
	if !v.Raw {
		value = e.text(value)
	}
	delete(e.above, name)
	e.done[name] = value
	return value
}

func (e *expander) text(text string) string {
	size := len(text)
	text = os.Expand(text, func(name string) string {
		if name == "$" {
			return "$"
		}
		value := e.value(name)
		if size += len(value); size > longestVariable {
			if e.err == nil {
				e.err = fmt.Errorf("with its variables replaced %.100q has more than %d bytes", text, longestVariable)
			}
			return ""
		}
		return value
	})
	return text
}

// image returns an image in the form of the payload. GitLab expands its name.
func payloadImage(i ciyaml.Image, vars []script.Variable) (contract.Image, error) {
	e := expander{variables: map[string]ciyaml.Variable{}, done: map[string]string{}, above: map[string]bool{}}
	for _, v := range vars {
		e.done[v.Name] = v.Value
	}
	image := contract.Image{Name: e.text(i.Name), Alias: i.Alias, Entrypoint: i.Entrypoint, Command: i.Command, PullPolicies: i.PullPolicy}
	image.Options.Docker.Platform, image.Options.Docker.User = e.text(i.Platform), contract.UserID(e.text(i.User))
	for _, v := range i.Variables {
		value := v.Value
		if !v.Raw {
			value = e.text(value)
		}
		image.Variables = append(image.Variables, contract.Variable{Key: v.Name, Value: value, Public: true, Raw: true})
	}
	return image, e.err
}
