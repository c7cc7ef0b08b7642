package main

import (
	"fmt"

	"flambeau/storage"
	"flambeau/storage/file"
)

// openStore opens the place that the configuration names. What it can't open is worth trying again later.
func openStore(c StoreConfig) (storage.Store, error) {
	switch c.Kind {
	case "file":
		s, err := file.Open(c.Dir)
		if err != nil {
			return nil, storeUnreachable{fmt.Errorf("store %s: %w", c.Dir, err)}
		}
		return s, nil
	}
	panic("flambeau: store kind " + c.Kind + ": parseStore let it pass")
}
