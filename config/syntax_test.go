package config

import "testing"

func TestSyntax(t *testing.T) {
	const hidden = " on; the text may be secret and is not shown"
	tests := []struct{ name, data, want string }{
		{"no quotes", "log_level = \"info\"\nruntime = runc\n",
			`c.toml:2: runtime: expected value but found "runc" instead`},
		{"a key twice", "[job]\nimage = \"a\"\nimage = \"b\"\n",
			`c.toml:3: job.image: Key 'job.image' has already been defined.`},
		{"no value", "[job]\nimage\n",
			`c.toml:2: job: expected '.' or '=', but got '\n' instead`},
		{"nothing but a bracket", "[",
			`c.toml:1: unexpected end of table name (table names cannot be empty)`},
		{"a line break in a key", "\"\\\n",
			`c.toml:2: invalid escape in string '\\n'`},
		{"secret up to a bad escape", `job.environment = ["A=secret\ux"]`,
			`c.toml:1: job.environment: not TOML from column 21` + hidden},
		{"secret in an inline table", `job = { environment = ["A=secret\ux"] }`,
			`c.toml:1: job.environment: not TOML from column 25` + hidden},
		{"secret under a misspelt key", "[job]\nenvironmnt = \"secret\\x_\"",
			`c.toml:2: job.environmnt: not TOML from column 15` + hidden},
		{"secrets twice", "[job]\nenvironment = []\nenvironment = []",
			`c.toml:3: job.environment: Key 'job.environment' has already been defined.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, tt.data, tt.want) })
	}
}
