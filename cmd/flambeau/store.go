package main

import (
	"context"
	"errors"
	"fmt"

	"flambeau/storage"
	"flambeau/storage/file"
	"flambeau/storage/s3"
)

// openStore opens the place that the configuration names; a bucket is not asked for anything yet. What it can't open is worth
// trying again later.
func openStore(ctx context.Context, c StoreConfig) (storage.Store, error) {
	switch c.Kind {
	case "file":
		s, err := file.Open(c.Dir)
		if err != nil {
			return nil, storeUnreachable{fmt.Errorf("store %s: %w", c.Dir, err)}
		}
		return s, nil
	case "s3":
		s, err := s3.Open(ctx, c.S3)
		if err != nil {
			return nil, storeUnreachable{err}
		}
		return s, nil
	}
	panic("flambeau: store kind " + c.Kind + ": parseStore let it pass")
}

// reach asks a store for what is never there: that it isn't, is an answer. It costs a store least, and needs no right to write.
func reach(ctx context.Context, s storage.Store) error {
	o, err := s.Get(ctx, "flambeau-ready/nothing", storage.Get{})
	if err == nil {
		return o.Body.Close()
	}
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	return err
}
