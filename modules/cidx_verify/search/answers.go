package search

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/home"
)

// Answer is how well a search went; more is better.
type Answer int

const (
	silent  Answer = iota // no answer at all
	refused               // an error, or hits that are no files of the repository
	nothing               // no hits
	Found
)

var answers = map[Answer]string{silent: "silent", refused: "refused", nothing: "nothing", Found: "found"}

func (a Answer) String() string { return answers[a] }

// Memory is what the standalone server answered, by alias.
type Memory map[string]Answer

// MemoryOf reads the answers as they were kept.
func MemoryOf(kept map[string]any) Memory {
	m := Memory{}
	for alias, word := range kept {
		for a, name := range answers {
			if name == word {
				m[alias] = a
			}
		}
	}
	return m
}

// excused says why a repository may be without hits, or "". What counts is what
// the standalone server answered; where it was not asked (it was down, or the
// repository is newer), what lies on disk.
func (a Asker) excused(r *Result, target string, words []string) string {
	if r.Answer == silent {
		return ""
	}
	if before, asked := a.Before[r.Alias]; asked {
		if before < Found && r.Answer >= before {
			return "nor did the standalone server find anything in it"
		}
		return ""
	}
	if !indexed(target) {
		return "it has no index"
	}
	if len(words) == 0 && r.Answer == nothing {
		return "it holds no text file to find a word in"
	}
	return ""
}

// errIndexed ends a walk at the first piece of an index.
var errIndexed = errors.New("indexed")

// indexed reports whether a repository has a full-text index or a vector.
func indexed(target string) bool {
	own := filepath.Join(target, ".code-indexer")
	if home.IsFolder(filepath.Join(own, "tantivy_index")) {
		return true
	}
	err := filepath.WalkDir(filepath.Join(own, "index"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "vector_") {
			return errIndexed
		}
		return nil // what cannot be read holds nothing for the search either
	})
	return errors.Is(err, errIndexed)
}
