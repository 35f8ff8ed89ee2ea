package seed

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

const collection = "voyage-code-3"

// makeIndex fills .code-indexer of a base clone: one small JSON file per vector
// in two levels of hashed folders, the binary index files, a full-text index
// and SCIP, unless the repository has none. files is about how many there are.
func makeIndex(w *world, r repo, files int, temporal []byte) error {
	dir := filepath.Join(r.clone, ".code-indexer")
	rng := source(w.Random, "index/"+r.alias)
	small := map[string]any{
		"config.json":   map[string]any{"codebase_dir": r.clone, "embedding_provider": "voyage-ai", "exclude_dirs": []string{".git", "node_modules"}},
		"metadata.json": map[string]any{"status": "completed", "files_processed": workFiles(w.FilesPerRepo), "files_to_index": []string{filepath.Join(r.clone, "src/main.py")}},
	}
	for name, content := range small {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		if err := writeFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	fixed := 6
	if err := makeVectors(w, r, rng, filepath.Join(dir, "index", collection), max(2, files-fixed)); err != nil {
		return err
	}
	binary := map[string][]byte{
		"index/" + collection + "/id_index.bin": randomBytes(rng, 2048), "index/" + collection + "/hnsw_index.bin": randomBytes(rng, 32<<10),
		"index/" + collection + "/temporal_metadata.db": temporal}
	if r.fts {
		binary["tantivy_index/meta.json"] = []byte(`{"segments":[],"schema":[],"opstamp":1}`)
		binary["tantivy_index/"+randomHex(rng, 32)+".store"] = randomBytes(rng, 4096)
		binary["scip/index.scip.db"] = temporal
	}
	for name, content := range binary {
		if err := writeFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

type vector struct {
	ID      string    `json:"id"`
	Vector  []float32 `json:"vector"`
	Payload payload   `json:"payload"`
}

type payload struct {
	Path    string `json:"path"`
	Start   int    `json:"start_line"`
	End     int    `json:"end_line"`
	Lang    string `json:"language"`
	Content string `json:"content"`
}

func makeVectors(w *world, r repo, rng *rand.Rand, dir string, count int) error {
	sources := workFiles(w.FilesPerRepo) - 2
	made := map[string]bool{}
	for i := range count {
		id := randomHex(rng, 16)
		folder := filepath.Join(dir, id[:2], id[2:4])
		if !made[folder] {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("create folder: %w", err)
			}
			made[folder] = true
		}
		v := vector{ID: id, Vector: make([]float32, 8), Payload: payload{Path: workFile(i % sources), Start: 1, End: 4, Lang: "python",
			Content: sourceOf(r, i%sources, 0)}}
		for c := range v.Vector {
			v.Vector[c] = rng.Float32()*2 - 1
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode vector: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, "vector_"+id+".json"), text, 0o644); err != nil {
			return fmt.Errorf("write vector: %w", err)
		}
	}
	return nil
}

// temporalDatabase makes the bytes of one temporal_metadata.db, a WAL database
// closed properly; every repository gets a copy.
func temporalDatabase(ctx context.Context, w *world) ([]byte, error) {
	dir, err := os.MkdirTemp("", "cidx-seed-")
	if err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "temporal_metadata.db")
	db, err := openDraft(path, "journal_mode(wal)", "synchronous(off)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE TABLE temporal_metadata (hash_prefix TEXT PRIMARY KEY, point_id TEXT NOT NULL,
		commit_hash TEXT, file_path TEXT, chunk_index INTEGER, created_at TEXT)`)
	if err != nil {
		return nil, fmt.Errorf("create temporal_metadata: %w", err)
	}
	rng := source(w.Random, "temporal")
	for i := range 20 {
		_, err := db.ExecContext(ctx, `INSERT INTO temporal_metadata VALUES (?, ?, ?, 'src/main.py', ?, ?)`,
			randomHex(rng, 16), randomHex(rng, 32), randomHex(rng, 40), i, epoch.Format("2006-01-02T15:04:05"))
		if err != nil {
			return nil, fmt.Errorf("fill temporal_metadata: %w", err)
		}
	}
	if err := db.Close(); err != nil {
		return nil, fmt.Errorf("close temporal_metadata: %w", err)
	}
	return os.ReadFile(path)
}
