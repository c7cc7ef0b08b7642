package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"flambeau/packager/audit"
)

var errPromises = errors.New("promises do not hold")

// verify walks the store and prints every promise that does not hold, naming the object.
func verify(ctx context.Context, e env, o verifyOptions) error {
	s, err := openStore(ctx, o.Config.Store)
	if err != nil {
		return err
	}
	if err := answering(ctx, s); err != nil {
		return err
	}
	r, err := audit.Run(ctx, s, o.Channel, audit.Span{From: o.From, To: o.To})
	if err != nil {
		return err
	}
	if err := o.print(e, r, func(w io.Writer) error { return printReport(w, r) }); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return reported{errPromises}
	}
	return nil
}

func printReport(w io.Writer, r audit.Report) error {
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	_, err := fmt.Fprintf(w, "%s: %d generations, %d renditions, %d segments, %d gaps, %d bytes, %s to %s, %d losses named, %d findings\n",
		r.Channel, r.Generations, r.Renditions, r.Segments, r.Gaps, r.Bytes, r.First.Format("2006-01-02T15:04:05.000Z"), r.Last.Format("2006-01-02T15:04:05.000Z"), r.Losses, len(r.Findings))
	return err
}
