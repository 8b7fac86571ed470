package runner

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// runnerVersion is the Runner this package follows.
const runnerVersion = "19.3.0"

// payloadVariables are the `variables` of the payload: GitLab's predefined ones
// in its order, then the job's.
func (j Job) payloadVariables() variableList {
	server, err := url.Parse(j.ServerURL)
	if err != nil {
		panic(fmt.Sprintf("the job's server URL %q: %v", j.ServerURL, err)) // a mistake in the test itself
	}
	port := server.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[server.Scheme]
	}
	id, pipeline := strconv.FormatInt(j.ID, 10), strconv.FormatInt(j.PipelineID, 10)
	started := j.StartedAt.UTC().Format("2006-01-02T15:04:05Z")
	group, project := path.Split(j.ProjectPath)
	group = strings.TrimSuffix(group, "/")
	root, _, _ := strings.Cut(group, "/")
	slug := strings.NewReplacer("/", "-", "_", "-", ".", "-").Replace
	page := j.projectURL("") + "/-/"

	list := variableList{
		Var("CI_PIPELINE_ID", pipeline),
		Var("CI_PIPELINE_URL", page+"pipelines/"+pipeline),
		Var("CI_JOB_ID", id),
		Var("CI_JOB_URL", page+"jobs/"+id),
		{Key: "CI_JOB_TOKEN", Value: j.Token, Masked: true},
		Var("CI_JOB_STARTED_AT", started),
		Var("CI_REGISTRY_USER", "gitlab-ci-token"),
		{Key: "CI_REGISTRY_PASSWORD", Value: j.Token, Masked: true},
		{Key: "CI_REPOSITORY_URL", Value: j.Repo.URL},
		Var("CI_JOB_NAME", j.Name),
		Var("CI_JOB_NAME_SLUG", slug(j.Name)),
		Var("CI_JOB_GROUP_NAME", j.Name),
		Var("CI_JOB_STAGE", "test"),
		Var("CI_NODE_TOTAL", "1"),
		Var("CI", "true"),
		Var("GITLAB_CI", "true"),
		Var("CI_SERVER_FQDN", server.Host),
		Var("CI_SERVER_URL", j.ServerURL),
		Var("CI_SERVER_HOST", server.Hostname()),
		Var("CI_SERVER_PORT", port),
		Var("CI_SERVER_PROTOCOL", server.Scheme),
		Var("CI_SERVER_SHELL_SSH_HOST", server.Hostname()),
		Var("CI_SERVER_SHELL_SSH_PORT", "22"),
		Var("CI_SERVER_NAME", "GitLab"),
		Var("CI_SERVER_VERSION", "19.3.0-ee"),
		Var("CI_SERVER_VERSION_MAJOR", "19"),
		Var("CI_SERVER_VERSION_MINOR", "3"),
		Var("CI_SERVER_VERSION_PATCH", "0"),
		Var("CI_SERVER_REVISION", "0000000"),
		Var("GITLAB_FEATURES", ""),
		Var("CI_PROJECT_ID", strconv.FormatInt(j.ProjectID, 10)),
		Var("CI_PROJECT_NAME", project),
		Var("CI_PROJECT_TITLE", project),
		Var("CI_PROJECT_DESCRIPTION", ""),
		Var("CI_PROJECT_TOPICS", ""),
		Var("CI_PROJECT_PATH", j.ProjectPath),
		Var("CI_PROJECT_PATH_SLUG", slug(j.ProjectPath)),
		Var("CI_PROJECT_NAMESPACE", group),
		Var("CI_PROJECT_NAMESPACE_ID", "7"),
		Var("CI_PROJECT_NAMESPACE_SLUG", slug(group)),
		Var("CI_PROJECT_ROOT_NAMESPACE", root),
		Var("CI_PROJECT_URL", j.projectURL("")),
		Var("CI_PROJECT_VISIBILITY", "private"),
		Var("CI_PROJECT_REPOSITORY_LANGUAGES", ""),
		Var("CI_PROJECT_CLASSIFICATION_LABEL", ""),
		Var("CI_DEFAULT_BRANCH", "main"),
		Var("CI_DEFAULT_BRANCH_SLUG", "main"),
		Var("CI_CONFIG_PATH", ".gitlab-ci.yml"),
		Var("CI_PAGES_DOMAIN", "example.com"),
		Var("CI_API_V4_URL", j.ServerURL+"/api/v4"),
		Var("CI_API_GRAPHQL_URL", j.ServerURL+"/api/graphql"),
		Var("CI_TEMPLATE_REGISTRY_HOST", "registry.gitlab.com"),
		Var("CI_REGISTRY", server.Host),
		Var("CI_REGISTRY_IMAGE", server.Host+"/"+j.ProjectPath),
		Var("CI_PIPELINE_IID", "1"),
		Var("CI_PIPELINE_SOURCE", "push"),
		Var("CI_PIPELINE_CREATED_AT", started),
		Var("CI_COMMIT_SHA", j.Repo.SHA),
		Var("CI_COMMIT_SHORT_SHA", j.Repo.SHA[:8]),
		Var("CI_COMMIT_BEFORE_SHA", beforeSHA),
		Var("CI_COMMIT_REF_NAME", j.Repo.Ref),
		Var("CI_COMMIT_REF_SLUG", slug(j.Repo.Ref)),
		Var("CI_COMMIT_BRANCH", j.Repo.Ref),
		Var("CI_COMMIT_MESSAGE", "first commit"),
		Var("CI_COMMIT_TITLE", "first commit"),
		Var("CI_COMMIT_DESCRIPTION", ""),
		Var("CI_COMMIT_REF_PROTECTED", strconv.FormatBool(j.Repo.Protected)),
		Var("CI_COMMIT_TIMESTAMP", "2026-11-21T20:46:23+00:00"),
		Var("CI_COMMIT_AUTHOR", "A <a@example.com>"),
		Var("CI_RUNNER_ID", strconv.FormatInt(j.RunnerID, 10)),
		Var("CI_RUNNER_DESCRIPTION", "fake"),
		Var("CI_RUNNER_TAGS", "[]"),
		Var("GITLAB_USER_ID", "1"),
		Var("GITLAB_USER_EMAIL", "user@example.com"),
		Var("GITLAB_USER_LOGIN", "user"),
		Var("GITLAB_USER_NAME", "User"),
	}
	return append(list, j.Variables...)
}

const beforeSHA = "0000000000000000000000000000000000000000"
