package stages

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/plan"
)

// Prepare creates the job's environment. Keep is how long it is to stay after the job; zero removes it.
func Prepare(ctx context.Context, c *contract.Call, cfg *config.Config, keep time.Duration, x *executor.Executor, log logrus.FieldLogger) error {
	for _, text := range cfg.Unsafe() {
		log.Debugf("The configuration permits (hardening.allow_unsafe): %s", text)
	}
	p, err := plan.Make(c, cfg, log)
	if err != nil {
		return err
	}
	p.Keep = keep
	return x.Prepare(ctx, p)
}
