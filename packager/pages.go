package packager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"flambeau/packager/timeline"
	"flambeau/storage"
)

// fiveMinutes is what minute pages are gathered into, still as minute pages: an origin that starts reads a window of them.
const fiveMinutes = 300

// page moves rows that have become old out of the root into minute pages, those into fives, those into hours and those into days.
func (p *Publisher) page(ctx context.Context) error {
	edge := int64(0)
	for _, r := range p.index.Rows {
		edge = max(edge, p.second(r))
	}
	old := func(r timeline.RenditionRow) bool {
		return p.second(r)-p.second(r)%60+60 <= edge-int64(rootRows/time.Second)
	}
	minutes := map[int64][]timeline.RenditionRow{}
	for _, r := range p.index.Rows {
		if old(r) {
			t := p.second(r) - p.second(r)%60
			minutes[t] = append(minutes[t], r)
		}
	}
	if len(minutes) == 0 {
		return nil
	}
	for _, t := range slices.Sorted(maps.Keys(minutes)) {
		if err := p.putPage(ctx, "minute", t, minutes[t]); err != nil {
			return err
		}
	}
	p.index.Rows = slices.DeleteFunc(p.index.Rows, old)
	paged := edge - int64(rootRows/time.Second) // up to here there are pages
	if err := p.rollUp(ctx, "minute", "minute", fiveMinutes, paged); err != nil {
		return err
	}
	if err := p.rollUp(ctx, "minute", "hour", 3600, paged-int64(rootRows/time.Second)); err != nil {
		return err
	}
	return p.rollUp(ctx, "hour", "day", 86400, paged-int64(rootRows/time.Second))
}

func (p *Publisher) second(r timeline.RenditionRow) int64 {
	of, ok := p.gens[r.Generation].Rendition(r.Rendition)
	if !ok {
		panic(fmt.Sprintf("packager: a row of %s in generation %d, of which no record speaks: it was listed before its generation", r.Rendition, r.Generation))
	}
	return timeline.UTC(r.Start, of.Timescale).Unix()
}

// maxPage is the longest page, in bytes; what does not fit goes into further revisions of it. A reader takes four times as much.
const maxPage = timeline.MaxIndex / 4

// putPage writes rows into a page, each part of them under the first revision that is free.
func (p *Publisher) putPage(ctx context.Context, span string, t int64, rows []timeline.RenditionRow) error {
	slices.SortStableFunc(rows, func(a, b timeline.RenditionRow) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Rendition, b.Rendition))
	})
	var line []byte
	size, from := 0, 0
	for i, r := range rows {
		line = r.Append(line[:0])
		if size+len(line) > maxPage && i > from {
			if err := p.putRevision(ctx, span, t, rows[from:i]); err != nil {
				return err
			}
			size, from = 0, i
		}
		size += len(line)
	}
	return p.putRevision(ctx, span, t, rows[from:])
}

func (p *Publisher) putRevision(ctx context.Context, span string, t int64, rows []timeline.RenditionRow) error {
	body := timeline.Index{Channel: p.Channel, Worker: p.Worker, Rows: rows}.Encode()
	for revision := 0; ; revision++ {
		key := timeline.PageKey(p.Channel, span, t, p.Worker, revision)
		var diverged *DivergenceError
		if err := p.create(ctx, key, body); errors.As(err, &diverged) {
			continue
		} else if err != nil {
			return err
		}
		p.index.Pages = append(p.index.Pages, timeline.Page{Key: key, First: rows[0].Slot, Last: rows[len(rows)-1].Slot})
		return nil
	}
}

// rollUp merges the pages of one span into those of a longer one, where that was over at an instant.
func (p *Publisher) rollUp(ctx context.Context, from, to string, seconds, over int64) error {
	groups := map[int64][]timeline.Page{}
	for _, page := range p.index.Pages {
		if span, t, ok := timeline.ParsePageKey(p.Channel, page.Key); ok && span == from && t-t%seconds+seconds <= over {
			groups[t-t%seconds] = append(groups[t-t%seconds], page)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(groups)) {
		if from == to && len(groups[t]) == 1 {
			continue // it is gathered already
		}
		var rows []timeline.RenditionRow
		for _, page := range groups[t] {
			more, err := p.readPage(ctx, page.Key)
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
		if err := p.putPage(ctx, to, t, rows); err != nil {
			return err
		}
		p.index.Pages = slices.DeleteFunc(p.index.Pages, func(page timeline.Page) bool { return slices.Contains(groups[t], page) })
	}
	slices.SortFunc(p.index.Pages, func(a, b timeline.Page) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Key, b.Key))
	})
	return nil
}

func (p *Publisher) readPage(ctx context.Context, key string) (rows []timeline.RenditionRow, err error) {
	err = p.insist(ctx, key, func(ctx context.Context) error {
		b, _, err := storage.ReadAll(ctx, p.Store, key, storage.Get{}, timeline.MaxIndex)
		if err != nil {
			return err
		}
		x, err := timeline.DecodeIndex(b)
		rows = x.Rows
		return err
	})
	return rows, err
}
