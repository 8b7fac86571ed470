package stages

import (
	"context"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/plan"
)

// Prepare creates the job's environment.
func Prepare(ctx context.Context, c *contract.Call, cfg *config.Config, x *executor.Executor, log logrus.FieldLogger) error {
	for _, text := range cfg.Unsafe() {
		log.Debugf("The configuration permits (hardening.allow_unsafe): %s", text)
	}
	p, err := plan.Make(c, cfg, log)
	if err != nil {
		return err
	}
	return x.Prepare(ctx, p)
}
