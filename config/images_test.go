package config

import "testing"

func TestImages(t *testing.T) {
	wantErrors(t, `
[images]
offer = false
references = ["docker.io/library/debian:12"]
tool_image = "registry.example.com/tools/buildah:1"
pull_policy = ["always", "if-not-present"]
users = []
environment = ["HTTPS_PROXY=http://proxy.example.com:3128"]
volumes = ["/etc/containers/certs.d:/etc/containers/certs.d:ro"]`)
	wantErrors(t, `
[images]
references = ["debian 12", ""]
tool_image = "build ah"
pull_policy = []
users = ["0", "builder", "01", "70000"]
environment = ["STORAGE_DRIVER=overlay"]
volumes = ["certs.d"]`,
		`c.toml:3: images.references: "" is not the name of an image; write for example "docker.io/library/debian:12"`,
		`c.toml:3: images.references: "debian 12" is not the name of an image; write for example "docker.io/library/debian:12"`,
		`c.toml:4: images.tool_image: "build ah" contains white space; write for example "registry.example.com/tools/buildah:1"`,
		`c.toml:5: images.pull_policy: the list is empty; write for example ["always"]`,
		`c.toml:6: images.users: "0" is not the number of a user from 1 to 65534; write for example "1000"`,
		`c.toml:6: images.users: "01" is not the number of a user from 1 to 65534; write for example "1000"`,
		`c.toml:6: images.users: "70000" is not the number of a user from 1 to 65534; write for example "1000"`,
		`c.toml:6: images.users: "builder" is not the number of a user from 1 to 65534; write for example "1000"`,
		`c.toml:7: images.environment: STORAGE_DRIVER has a key of its own; write storage.driver instead`,
		`c.toml:8: images.volumes: "certs.d" is not source:target or source:target:ro; write for example "/srv/models:/models:ro", or "name:/path" for one of the engine's volumes`)
}
