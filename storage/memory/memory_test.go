package memory_test

import (
	"testing"

	"flambeau/storage"
	"flambeau/storage/memory"
	"flambeau/storage/storagetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Store { return memory.New() })
}
