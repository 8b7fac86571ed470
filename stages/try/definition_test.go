package try

import (
	"reflect"
	"strings"
	"testing"

	"gitlab-sysbox-executor/stages/ciyaml"
	"gitlab-sysbox-executor/stages/script"
)

func TestExpand(t *testing.T) {
	got, err := expand([]ciyaml.Variable{
		{Name: "A", Value: "$B-${C}$D$$A"}, {Name: "B", Value: "b"}, {Name: "C", Value: "$B", Raw: true}, {Name: "B", Value: "last"}, {Name: "SELF", Value: "$$SELF"},
	})
	want := []script.Variable{{Name: "A", Value: "last-$B$A"}, {Name: "B", Value: "last"}, {Name: "C", Value: "$B"}, {Name: "SELF", Value: "$SELF"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q %v", got, err)
	}
	big := []ciyaml.Variable{{Name: "A0", Value: strings.Repeat("x", 100)}}
	for n := range 20 {
		big = append(big, ciyaml.Variable{Name: "A" + string(rune('a'+n)), Value: strings.Repeat("$"+big[n].Name, 10)})
	}
	for name, c := range map[string]struct {
		all  []ciyaml.Variable
		want string
	}{
		"cycle": {[]ciyaml.Variable{{Name: "A", Value: "$B"}, {Name: "B", Value: "$A"}}, "the value of the variable A leads to itself"},
		"bomb":  {big, "with its variables replaced"},
	} {
		if _, err := expand(c.all); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{"Feature/Über 1": "feature--ber-1", "-a-": "a", strings.Repeat("x", 70): strings.Repeat("x", 63)} {
		if got := slug(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestPayloadImage(t *testing.T) {
	vars := []script.Variable{{Name: "TAG", Value: "1"}}
	got, err := payloadImage(ciyaml.Image{Name: "a:$TAG", User: "$TAG", Variables: []ciyaml.Variable{{Name: "X", Value: "$TAG$Y"}, {Name: "R", Value: "$TAG", Raw: true}}}, vars)
	if err != nil || got.Name != "a:1" || got.Options.Docker.User != "1" || got.Variables[0].Value != "1" || got.Variables[1].Value != "$TAG" {
		t.Errorf("%+v %v", got, err)
	}
}
