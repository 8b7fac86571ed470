package stages

import (
	"context"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
)

// Prepare makes the job's environment.
func Prepare(ctx context.Context, c *Call, cfg *config.Config, x *executor.Executor, log logrus.FieldLogger) error {
	for _, text := range cfg.Unsafe() {
		log.Debugf("The configuration permits (hardening.allow_unsafe): %s", text)
	}
	p, err := plan(c, cfg, log)
	if err != nil {
		return err
	}
	return x.Prepare(ctx, p)
}
