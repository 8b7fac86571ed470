package runner

import (
	"encoding/json"
	"strings"
)

// payload is the job's JSON as the Runner writes it to JOB_RESPONSE_FILE: its
// own structures, encoded anew, with container options already expanded.
type payload struct {
	ID            int64               `json:"id"`
	Token         string              `json:"token"`
	AllowGitFetch bool                `json:"allow_git_fetch"`
	JobInfo       payloadJobInfo      `json:"job_info"`
	GitInfo       payloadGitInfo      `json:"git_info"`
	RunnerInfo    payloadRunnerInfo   `json:"runner_info"`
	Inputs        []any               `json:"inputs"`
	Variables     variableList        `json:"variables"`
	Steps         []payloadStep       `json:"steps"`
	Image         payloadImage        `json:"image"`
	Services      []payloadImage      `json:"services"`
	Artifacts     []payloadArtifact   `json:"artifacts"`
	Cache         []payloadCache      `json:"cache"`
	Credentials   []Credentials       `json:"credentials"`
	Dependencies  []payloadDependency `json:"dependencies"`
	Features      payloadFeatures     `json:"features"`
	PolicyOptions payloadPolicy       `json:"policy_options"`
	Suspend       struct{}            `json:"suspend_options"`
}

type payloadJobInfo struct {
	Name               string  `json:"name"`
	Stage              string  `json:"stage"`
	PipelineID         int64   `json:"pipeline_id"`
	ProjectID          int64   `json:"project_id"`
	ProjectName        string  `json:"project_name"`
	ProjectFullPath    string  `json:"project_full_path"`
	NamespaceID        int64   `json:"namespace_id"`
	RootNamespaceID    int64   `json:"root_namespace_id"`
	OrganizationID     int64   `json:"organization_id"`
	InstanceID         string  `json:"instance_id"`
	InstanceUUID       string  `json:"instance_uuid"`
	UserID             int64   `json:"user_id"`
	TimeInQueueSeconds float64 `json:"time_in_queue_seconds"`
	RunningJobs        string  `json:"project_jobs_running_on_instance_runners_count"`
	QueueSize          int64   `json:"queue_size"`
	QueueDepth         int64   `json:"queue_depth"`
}

type payloadGitInfo struct {
	RepoURL      string   `json:"repo_url"`
	ObjectFormat string   `json:"repo_object_format"`
	Ref          string   `json:"ref"`
	SHA          string   `json:"sha"`
	BeforeSHA    string   `json:"before_sha"`
	RefType      string   `json:"ref_type"`
	Refspecs     []string `json:"refspecs"`
	Depth        int      `json:"depth"`
	Protected    bool     `json:"protected"`
}

type payloadRunnerInfo struct {
	UUID    string `json:"uuid"`
	Timeout int    `json:"timeout"`
}

type payloadStep struct {
	Name         string   `json:"name"`
	Script       []string `json:"script"`
	Timeout      int      `json:"timeout"`
	When         string   `json:"when"`
	AllowFailure bool     `json:"allow_failure"`
}

type payloadImage struct {
	Name         string               `json:"name"`
	Alias        string               `json:"alias,omitempty"`
	Command      []string             `json:"command,omitempty"`
	Entrypoint   []string             `json:"entrypoint,omitempty"`
	Variables    []Variable           `json:"variables,omitempty"`
	PullPolicies []string             `json:"pull_policy,omitempty"`
	Options      payloadImageExecutor `json:"executor_opts"`
}

type payloadImageExecutor struct {
	Docker struct {
		Platform string `json:"platform"`
		User     string `json:"user"`
	} `json:"docker"`
	Kubernetes struct {
		User string `json:"user"`
	} `json:"kubernetes"`
}

type payloadArtifact struct {
	Name      string   `json:"name"`
	Untracked bool     `json:"untracked"`
	Paths     []string `json:"paths"`
	Exclude   []string `json:"exclude"`
	When      string   `json:"when"`
	Type      string   `json:"artifact_type"`
	Format    string   `json:"artifact_format"`
	ExpireIn  string   `json:"expire_in"`
}

type payloadCache struct {
	Key          string   `json:"key"`
	Untracked    bool     `json:"untracked"`
	Policy       string   `json:"policy"`
	Paths        []string `json:"paths"`
	When         string   `json:"when"`
	FallbackKeys []string `json:"fallback_keys"`
}

type payloadDependency struct {
	ID            int64           `json:"id"`
	Token         string          `json:"token"`
	Name          string          `json:"name"`
	ArtifactsFile payloadArtsFile `json:"artifacts_file"`
}

type payloadArtsFile struct {
	Filename string `json:"filename"`
	Size     int64  `json:"size"`
}

type payloadFeatures struct {
	TraceSections     bool     `json:"trace_sections"`
	TokenMaskPrefixes []string `json:"token_mask_prefixes"`
	FailureReasons    []string `json:"failure_reasons"`
}

type payloadPolicy struct {
	PolicyJob bool   `json:"execution_policy_job"`
	Name      string `json:"policy_name"`
}

// Payload is the content of JOB_RESPONSE_FILE for a job that has its defaults.
func (j Job) payload() ([]byte, error) {
	vars := j.allVariables(workspace{})
	p := payload{
		ID: j.ID, Token: j.Token, AllowGitFetch: true,
		JobInfo: payloadJobInfo{
			Name: j.Name, Stage: "test", PipelineID: j.PipelineID,
			ProjectID: j.ProjectID, ProjectName: j.ProjectPath[strings.LastIndex(j.ProjectPath, "/")+1:],
			ProjectFullPath: j.ProjectPath, NamespaceID: 7, RootNamespaceID: 7, OrganizationID: 1,
			InstanceID: "instance", InstanceUUID: "00000000-0000-4000-8000-000000000000", UserID: 1,
			RunningJobs: "0",
		},
		GitInfo: payloadGitInfo{
			RepoURL: j.Repo.URL, ObjectFormat: "sha1", Ref: j.Repo.Ref, SHA: j.Repo.SHA, BeforeSHA: beforeSHA,
			RefType: "branch", Refspecs: j.Repo.Refspecs, Depth: j.Repo.Depth, Protected: j.Repo.Protected,
		},
		RunnerInfo:  payloadRunnerInfo{Timeout: int(j.Timeout.Seconds())},
		Variables:   j.payloadVariables(),
		Image:       j.Image.payload(vars),
		Credentials: j.Credentials,
		Features:    payloadFeatures{TraceSections: true, TokenMaskPrefixes: []string{"glpat-", "glcbt-"}},
	}
	for _, s := range j.steps() {
		step := payloadStep{Name: s.Name, Script: s.Script, Timeout: int(j.Timeout.Seconds()), When: "on_success"}
		if s.Name == "after_script" {
			step.When, step.AllowFailure = "always", true
		}
		p.Steps = append(p.Steps, step)
	}
	for _, s := range j.Services {
		p.Services = append(p.Services, s.payload(vars))
	}
	for _, a := range j.Artifacts {
		p.Artifacts = append(p.Artifacts, payloadArtifact{
			Name: a.Name, Paths: a.Paths, When: a.When, Type: "archive", Format: "zip",
		})
	}
	for _, c := range j.Cache {
		p.Cache = append(p.Cache, payloadCache{Key: c.Key, Policy: c.policy(), Paths: c.Paths, When: c.When})
	}
	for _, d := range j.Dependencies {
		p.Dependencies = append(p.Dependencies, payloadDependency{
			ID: d.ID, Token: d.Token, Name: d.Name, ArtifactsFile: payloadArtsFile{Filename: "artifacts.zip", Size: 1000},
		})
	}
	text, err := json.Marshal(p)
	return append(text, '\n'), err // the Runner's encoder ends with a newline
}

func (i Image) payload(vars variableList) payloadImage {
	p := payloadImage{
		Name: vars.expandText(i.Name), Alias: i.Alias, Command: i.Command, Entrypoint: i.Entrypoint,
		Variables: i.Variables, PullPolicies: i.PullPolicies,
	}
	p.Options.Docker.Platform = vars.expandText(i.Platform)
	p.Options.Docker.User = vars.expandText(i.User)
	return p
}

// steps are the payload's steps: script, further ones, after_script.
func (j Job) steps() []Step {
	steps := append([]Step{{Name: "script", Script: j.Script}}, j.Steps...)
	if len(j.AfterScript) > 0 {
		steps = append(steps, Step{Name: "after_script", Script: j.AfterScript})
	}
	return steps
}

// servicesVariable is CI_JOB_SERVICES, which has only the first alias of each.
func (j Job) servicesVariable(vars variableList) Variable {
	type service struct {
		Name       string            `json:"name"`
		Alias      string            `json:"alias"`
		Entrypoint []string          `json:"entrypoint"`
		Command    []string          `json:"command"`
		Variables  map[string]string `json:"variables,omitempty"`
	}
	v := Var("CI_JOB_SERVICES", "")
	if len(j.Services) == 0 {
		return v
	}
	var services []service
	for _, s := range j.Services {
		alias := append(strings.Fields(strings.ReplaceAll(s.Alias, ",", " ")), "")[0]
		out := service{Name: vars.expandText(s.Name), Alias: alias, Entrypoint: s.Entrypoint, Command: s.Command}
		for _, sv := range s.Variables {
			if out.Variables == nil {
				out.Variables = map[string]string{}
			}
			out.Variables[sv.Key] = append(vars[:len(vars):len(vars)], s.Variables...).expand().value(sv.Key)
		}
		services = append(services, out)
	}
	text, err := json.Marshal(services)
	if err != nil {
		panic(err) // strings and maps of strings always encode
	}
	v.Value = string(text)
	return v
}
