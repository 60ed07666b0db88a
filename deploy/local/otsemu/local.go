package otsemu

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// defaultRows is how many rows a script is shown unless it asks for another number.
const defaultRows = 1000

// localRoutes serves /_local/. Mistakes are a 4xx with {"error": text}.
func (s *Server) localRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/_local/", http.StripPrefix("/_local", s.faults.Handler()))
	mux.HandleFunc("GET /_local/tables", s.showTables)
	mux.HandleFunc("GET /_local/tables/{table}/rows", s.showRows)
	return mux
}

// tableView is a table as scripts see it. Times are seconds.
type tableView struct {
	Name       string       `json:"name"`
	PrimaryKey []columnView `json:"primaryKey"`
	TimeToLive int64        `json:"timeToLive"`
	Deviation  int64        `json:"deviation"`
	ReadUnits  int64        `json:"readUnits"`
	WriteUnits int64        `json:"writeUnits"`
}

type columnView struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// rowView is a row as scripts see it. Binary values are {"base64": …}.
type rowView struct {
	PrimaryKey map[string]any      `json:"primaryKey"`
	Columns    map[string]cellView `json:"columns"`
}

type cellView struct {
	Value any `json:"value"`
	// Timestamp is in milliseconds.
	Timestamp int64 `json:"timestamp"`
}

func (s *Server) showTables(w http.ResponseWriter, _ *http.Request) {
	views := []tableView{}
	err := s.store.view(func(t tx) error {
		tables, err := t.tables()
		for _, d := range tables {
			view := tableView{
				Name: d.Name, TimeToLive: d.TimeToLive, Deviation: d.Deviation, ReadUnits: d.Read, WriteUnits: d.Write,
			}
			for _, c := range d.PrimaryKey {
				view.PrimaryKey = append(view.PrimaryKey, columnView{c.Name, c.typeName()})
			}
			views = append(views, view)
		}
		return err
	})
	show(w, views, err)
}

func (c keyColumn) typeName() string {
	switch c.Type {
	case keyInteger:
		return "INTEGER"
	case keyString:
		return "STRING"
	}
	return "BINARY"
}

func (s *Server) showRows(w http.ResponseWriter, r *http.Request) {
	limit := defaultRows
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > math.MaxInt32 {
			show(w, nil, invalid("limit %q: want a positive number", text))
			return
		}
		limit = n
	}
	views := []rowView{}
	err := s.store.view(func(t tx) (err error) {
		d, err := t.table(r.PathValue("table"))
		if err != nil {
			return err
		}
		views, err = t.viewRows(d, limit, s.now())
		return err
	})
	show(w, views, err)
}

func (t tx) viewRows(d *table, limit int, now time.Time) ([]rowView, error) {
	views := []rowView{}
	cursor := t.rows(d).Cursor()
	for key, raw := cursor.First(); key != nil && len(views) < limit; key, raw = cursor.Next() {
		r, err := decodeStored(raw)
		if err != nil {
			return nil, err
		}
		if r.alive(d, now) {
			views = append(views, viewRow(r.row))
		}
	}
	return views, nil
}

func viewRow(r row) rowView {
	view := rowView{PrimaryKey: map[string]any{}, Columns: map[string]cellView{}}
	for _, c := range r.key {
		view.PrimaryKey[c.name] = c.value.shown()
	}
	for _, c := range r.cells {
		view.Columns[c.name] = cellView{c.value.shown(), c.timestamp}
	}
	return view
}

// show writes out as JSON, or the error.
func show(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	if err != nil {
		status, out = http.StatusInternalServerError, map[string]string{"error": err.Error()}
		var refused *refusal
		if errors.As(err, &refused) {
			status, out = refused.status, map[string]string{"error": refused.message}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}
