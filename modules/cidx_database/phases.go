package database

import "context"

func (r *runner) verify(ctx context.Context) error   { return nil }
func (r *runner) rollback(ctx context.Context) error { return nil }
func (r *runner) rehearse(ctx context.Context) error { return nil }
func (r *runner) mend(ctx context.Context, cause error) error {
	return cause
}
