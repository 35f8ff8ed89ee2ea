package share

import (
	"os"
	"testing"

	"cidx-cluster/modules/internal/child"
)

func TestMain(m *testing.M) {
	child.Serve()
	os.Exit(m.Run())
}
