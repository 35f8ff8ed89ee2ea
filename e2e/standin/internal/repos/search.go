package repos

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
)

// ErrNoIndex means that a repository has no index of the kind that the search needs.
var ErrNoIndex = errors.New("index not available")

const maxFile = 4 << 20 // larger files are not source text

// Hit is one search result; Path is relative to the repository, lines count from 1.
type Hit struct {
	Path, Snippet, Language string
	Line, EndLine           int
	Score                   float64
}

var errEnough = errors.New("limit reached")

// FullText finds files that hold every word of the query, as whole words in any case. It needs a full-text index
// on disk (.code-indexer/tantivy_index with something in it) and reads the repository's own text files.
func FullText(root, query string, limit int) ([]Hit, error) {
	index := filepath.Join(root, ".code-indexer", "tantivy_index")
	if entries, err := os.ReadDir(index); err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("full-text %w: %s", ErrNoIndex, index)
	}
	words := tokens(query)
	var hits []Hit
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (d.Name() == ".git" || d.Name() == ".code-indexer") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if hit, ok := matchFile(root, path, words); ok {
			hits = append(hits, hit)
		}
		return enough(hits, limit)
	})
	return hits, dropEnough(err)
}

// Semantic finds index entries (.code-indexer/index/**/vector_*.json) whose payload holds words of the query: one that holds
// them all has the score 0.92, and the more are missing the nearer it comes to 0.32. It stands for CIDX's vector search, which would ask an embedding provider.
func Semantic(root, query string, limit int, minScore float64) ([]Hit, error) {
	index := filepath.Join(root, ".code-indexer", "index")
	if !isDir(index) {
		return nil, fmt.Errorf("semantic %w: %s", ErrNoIndex, index)
	}
	words := tokens(query)
	var hits []Hit
	err := filepath.WalkDir(index, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), "vector_") || !strings.HasSuffix(d.Name(), ".json") {
			return nil
		}
		if hit, ok := matchVector(path, words); ok && hit.Score >= minScore {
			hits = append(hits, hit)
		}
		return enough(hits, limit)
	})
	return hits, dropEnough(err)
}

func matchFile(root, path string, words []string) (Hit, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxFile {
		return Hit{}, false
	}
	raw, err := os.ReadFile(path)
	if err != nil || bytes.IndexByte(raw[:min(len(raw), 8000)], 0) >= 0 {
		return Hit{}, false
	}
	if share(tokenSet(string(raw)), words) < 1 {
		return Hit{}, false
	}
	rel, _ := filepath.Rel(root, path)
	hit := Hit{Path: rel, Language: strings.TrimPrefix(filepath.Ext(path), "."), Score: 1.5}
	for i, line := range strings.Split(string(raw), "\n") {
		if share(tokenSet(line), words[:1]) == 1 {
			hit.Line, hit.EndLine, hit.Snippet = i+1, i+1, line
			break
		}
	}
	return hit, true
}

func matchVector(path string, words []string) (Hit, bool) {
	raw, err := os.ReadFile(path)
	if err != nil || !gjson.ValidBytes(raw) {
		return Hit{}, false
	}
	doc := gjson.ParseBytes(raw)
	content := first(doc, "payload.content", "payload.chunk_text", "chunk_text", "content")
	known := share(tokenSet(content), words)
	if known == 0 {
		return Hit{}, false
	}
	score := math.Round(32+60*known) / 100 // as near as an embedding comes
	return Hit{
		Path:     first(doc, "payload.path", "payload.file_path", "file_path"),
		Language: doc.Get("payload.language").String(), Snippet: content, Score: score,
		Line: int(doc.Get("payload.start_line").Int()), EndLine: int(doc.Get("payload.end_line").Int()),
	}, true
}

func first(doc gjson.Result, paths ...string) string {
	for _, p := range paths {
		if v := doc.Get(p); v.Type == gjson.String {
			return v.String()
		}
	}
	return ""
}

// tokens splits as a full-text index does: at everything that is no letter or digit, in lower case.
func tokens(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func tokenSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, t := range tokens(text) {
		set[t] = true
	}
	return set
}

// share is the part of words that the set holds; no words match nothing.
func share(set map[string]bool, words []string) float64 {
	n := 0
	for _, w := range words {
		if set[w] {
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return float64(n) / float64(len(words))
}

func enough(hits []Hit, limit int) error {
	if len(hits) >= limit {
		return errEnough
	}
	return nil
}

func dropEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
