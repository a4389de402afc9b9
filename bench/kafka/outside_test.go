package kafka

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestOutside(t *testing.T) {
	var log bytes.Buffer
	var dir string
	var order []string
	err := Outside(t.Context(), "program", &log, func(tb testing.TB) {
		tb.Helper()
		dir = tb.TempDir()
		tb.Cleanup(func() {
			if tb.Context().Err() == nil || !tb.Failed() {
				t.Error("cleaned up before the end")
			}
			order = append(order, "first")
		})
		tb.Cleanup(func() { order = append(order, "second") })
		tb.Logf("%s logs", tb.Name())
		tb.Errorf("one %s", "error")
		tb.Fatal("another")
		t.Error("it goes on")
	})
	if err == nil || err.Error() != "one error\nanother" || log.String() != "program logs\n" || strings.Join(order, " ") != "second first" {
		t.Errorf("%v %q %v", err, log.String(), order)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory is still there")
	}
	if err := Outside(t.Context(), "", &log, func(tb testing.TB) { _ = tb.TempDir() }); err != nil {
		t.Error(err)
	}
}
