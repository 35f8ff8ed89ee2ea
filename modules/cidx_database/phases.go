package database

import "context"

func (r *runner) verify(ctx context.Context) error   { return nil }
func (r *runner) rollback(ctx context.Context) error { return nil }
