package engine

import (
	"context"
	"fmt"
	"gitlab-sysbox-executor/executor/logline"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Logs returns the last lines of the container's output.
func (e *Engine) Logs(ctx context.Context, id string, lines int) (string, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	r, err := e.client.ContainerLogs(ctx, id, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Tail: fmt.Sprint(lines),
	})
	if err != nil {
		return "", e.wrap("reading the log of container "+id, err)
	}
	defer r.Close()
	var b strings.Builder
	// A job may write lines of any length, so limit what is kept.
	if _, err := stdcopy.StdCopy(&b, &b, io.LimitReader(r, 64<<10)); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return b.String(), e.wrap("reading the log of container "+id, err)
	}
	return b.String(), nil
}

// EachLog calls each for every line of a container's log that is newer than since, in
// order, with its time; zero means all lines. With follow it continues until the container
// stops or ctx ends, which is no error. Otherwise it ends with the last line, within the
// engine's timeout.
func (e *Engine) EachLog(ctx context.Context, id string, since time.Time, follow bool, each func(at time.Time, line string)) error {
	if !follow {
		var cancel context.CancelFunc
		ctx, cancel = e.bounded(ctx)
		defer cancel()
	}
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow}
	if !since.IsZero() {
		since = since.Add(1) // the engine includes lines at exactly since
		o.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	r, err := e.client.ContainerLogs(ctx, id, o)
	if ctx.Err() != nil && follow {
		return nil
	} else if err != nil {
		return e.wrap("reading the log of container "+id, err)
	}
	defer r.Close()
	reader, writer := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(writer, writer, r)
		writer.CloseWithError(err)
	}()
	defer reader.Close()
	if err := logline.Each(reader, each); ctx.Err() == nil || !follow {
		return e.wrap("reading the log of container "+id, err)
	}
	return nil
}
