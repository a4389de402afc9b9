package proxy

import (
	"context"
	"time"

	"go.uber.org/zap"

	"sluice/proxy/edge"
)

// followEvery is how often files are looked at unless Options say otherwise.
const followEvery = 5 * time.Second

// following is what follows files or URLs for as long as the policy names them, by
// what it is made of. What two policies in a row both name is kept, with all that it
// has learned.
type following map[any]followed

type followed struct {
	what any
	stop context.CancelFunc
}

// follow finds what key stands for among what is followed already, or opens it and has
// run follow it. What can be loaded again is, as a reload of the policy asks for it.
// g.reloading is held.
func follow[T any](g *Gateway, into following, key any, open func() (T, error), run func(context.Context, T)) (T, error) {
	if f, ok := into[key]; ok {
		return f.what.(T), nil
	}
	if f, ok := g.following[key]; ok {
		if r, ok := f.what.(edge.Reloader); ok {
			if _, err := r.Reload(); err != nil {
				return f.what.(T), err
			}
		}
		into[key] = f
		return f.what.(T), nil
	}
	t, err := open()
	if err != nil {
		return t, err
	}
	ctx, stop := context.WithCancel(g.ctx)
	g.running.Go(func() { run(ctx, t) })
	into[key] = followed{t, stop}
	return t, nil
}

// files has [edge.Watch] look at files, and tells the log.
func files[T edge.Reloader](g *Gateway, what string) func(context.Context, T) {
	return func(ctx context.Context, r T) { edge.Watch(ctx, r, g.options.FollowEvery, g.report(what)) }
}

// report tells the log what became of something that is followed.
func (g *Gateway) report(what string) func(error) {
	return func(err error) {
		if err != nil {
			g.log.Error("what a file or URL says now is not good; what it said before stays", zap.String("file", what), zap.Error(err))
			return
		}
		g.log.Info("follows a change", zap.String("file", what))
	}
}

// drop stops what f follows and kept does not.
func (f following) drop(kept following) {
	for key, one := range f {
		if _, ok := kept[key]; !ok {
			one.stop()
		}
	}
}
