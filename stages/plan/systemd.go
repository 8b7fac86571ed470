package plan

import (
	"fmt"
	"slices"
	"strconv"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// systemdVariable is the variable of the job, or of a service, that selects systemd as the first
// process of its container.
const systemdVariable = "EXECUTOR_SYSTEMD"

// systemd returns the job's choice; nil without one.
func systemd(c *contract.Call) (*bool, error) {
	return systemdWord("the job", c.Variables[systemdVariable])
}

// serviceSystemd returns the service's own choice: the job's variable is for the job's
// container.
func serviceSystemd(s contract.Image) (*bool, error) {
	for _, v := range s.Variables {
		if v.Key == systemdVariable {
			return systemdWord("service "+s.Name+": the", v.Value)
		}
	}
	return nil, nil
}

func systemdWord(whose, text string) (*bool, error) {
	if text == "" {
		return nil, nil
	}
	wanted, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fault.Jobf("%s variable %s=%s is neither true nor false", whose, systemdVariable, fault.Quote(text))
	}
	return &wanted, nil
}

// systemdRefused returns the rule for users that keeps jobs from root, which systemd needs;
// empty if there is none.
func systemdRefused(c config.Job) string {
	switch {
	case c.User != "" && !job.IsRoot(c.User):
		return fmt.Sprintf("job.user is %q", c.User)
	case c.User == "" && len(c.AllowedUsers) > 0 && !slices.ContainsFunc(c.AllowedUsers, job.IsRoot):
		return fmt.Sprintf("job.allowed_users is %q, without root", c.AllowedUsers)
	}
	return ""
}
