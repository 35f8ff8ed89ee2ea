package judge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// pgValue is a value as COPY's text format gives it.
type pgValue struct {
	text string
	null bool
}

// liteValue is a value of SQLite with its storage class: n(ull), i(nteger), r(eal), t(ext), b(lob).
type liteValue struct {
	class byte
	text  string // of t and b
	whole int64
	real  float64
}

// stream calls each with every row of a query.
func (p *psql) stream(ctx context.Context, sql string, each func([]pgValue) error) error {
	return lines(p.command(ctx, "COPY ("+sql+") TO STDOUT"), func(line string) error {
		fields := strings.Split(line, "\t")
		row := make([]pgValue, len(fields))
		for i, f := range fields {
			row[i] = pgValue{text: unescape(f), null: f == `\N`}
		}
		return each(row)
	})
}

var escapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if real, known := escapes[s[i]]; known {
				b.WriteByte(real)
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// lines runs a program and calls each with every line of its output.
func lines(cmd *exec.Cmd, each func(string) error) error {
	name := filepath.Base(cmd.Path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	in := bufio.NewReaderSize(out, 1<<18)
	var failed error
	for failed == nil {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			failed = err
		} else {
			failed = each(strings.TrimSuffix(line, "\n"))
		}
	}
	if failed != nil {
		out.Close() // the program ends by SIGPIPE
		_ = cmd.Wait()
		return failed
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// lite is a private copy of one SQLite file with its -wal.
type lite struct{ path string }

// openLite copies file and -wal into dir. The original is only read.
func openLite(dir, file string) (*lite, error) {
	private := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(file, "/"), "/", "__"))
	for _, suffix := range []string{"", "-wal", "-journal"} {
		from, err := os.Open(file + suffix)
		if os.IsNotExist(err) && suffix != "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("copy SQLite file: %w", err)
		}
		to, err := os.OpenFile(private+suffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = io.Copy(to, from)
		}
		from.Close()
		if err == nil {
			err = to.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("copy SQLite file: %w", err)
		}
	}
	l := &lite{path: private}
	// Fold the WAL into the copy: several sqlite3 read it at the same time.
	if err := lines(l.command(context.Background(), "PRAGMA journal_mode = DELETE"), func(string) error { return nil }); err != nil {
		return nil, fmt.Errorf("open copy of %s: %w", file, err)
	}
	return l, nil
}

func (l *lite) command(ctx context.Context, sql string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sqlite3", "-batch", "-noheader", "-list", "-cmd", ".timeout 20000", l.path, sql)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent")
	return cmd
}

// stream calls each with every row; the expressions are columns or SQL of which
// storage class and exact value are wanted.
func (l *lite) stream(ctx context.Context, expressions []string, rest string, each func([]liteValue) error) error {
	var parts []string
	for _, e := range expressions {
		parts = append(parts, fmt.Sprintf("CASE typeof(%[1]s) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || %[1]s WHEN 'real' THEN "+
			"'r' || ieee754_mantissa(%[1]s) || 'p' || ieee754_exponent(%[1]s) WHEN 'text' THEN 't' || hex(%[1]s) ELSE 'b' || hex(%[1]s) END", e))
	}
	return lines(l.command(ctx, "SELECT "+strings.Join(parts, ", ")+" "+rest), func(line string) error {
		fields := strings.Split(line, "|")
		if len(fields) != len(expressions) {
			return fmt.Errorf("read sqlite3: %d fields, want %d", len(fields), len(expressions))
		}
		row := make([]liteValue, len(fields))
		for i, f := range fields {
			v, err := parseLite(f)
			if err != nil {
				return err
			}
			row[i] = v
		}
		return each(row)
	})
}

func parseLite(f string) (liteValue, error) {
	if f == "" {
		return liteValue{}, fmt.Errorf("read sqlite3: empty field")
	}
	v := liteValue{class: f[0]}
	var err error
	switch rest := f[1:]; f[0] {
	case 'i':
		v.whole, err = strconv.ParseInt(rest, 10, 64)
	case 'r':
		mantissa, exponent, _ := strings.Cut(rest, "p")
		var m, e int64
		if m, err = strconv.ParseInt(mantissa, 10, 64); err == nil {
			e, err = strconv.ParseInt(exponent, 10, 64)
		}
		v.real = math.Ldexp(float64(m), int(e))
	case 't', 'b':
		var raw []byte
		raw, err = hex.DecodeString(rest)
		v.text = string(raw)
	}
	if err != nil {
		return v, fmt.Errorf("read sqlite3: %w", err)
	}
	return v, nil
}

// tables answers name -> columns of every table of the file.
func (l *lite) tables(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	err := l.stream(ctx, []string{"m.name", "c.name"}, `FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, c.cid`, func(row []liteValue) error {
		out[row[0].text] = append(out[row[0].text], row[1].text)
		return nil
	})
	return out, err
}
