// Command grafana makes flambeau.json, the example dashboard, out of what is written here.
//
//	rows ─► panels ─► queries ─► grafana-foundation-sdk ─► flambeau.json
//
// The SDK knows the fields and spellings that Grafana reads; here is only what an operator looks at, and in which order: first
// whether anything is wrong, then the way of a frame from the feed to the broadcaster, then the machine.
package main

//lint:file-ignore SA1019 the classic schema is the one that every Grafana reads from a file; its successor only the newest do.

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

//go:generate go run .

// file is what is made, beside this program.
const file = "flambeau.json"

func main() {
	b, err := encode()
	if err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

func encode() ([]byte, error) {
	d, err := build().Build()
	if err != nil {
		return nil, err
	}
	for i, p := range d.Panels { // Grafana finds a panel by its number, and the SDK gives none
		if n := uint32(i + 1); p.RowPanel != nil {
			p.RowPanel.Id = n
		} else {
			p.Panel.Id = &n
		}
	}
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}

// query is one expression and what its lines are called.
type query struct{ expr, legend string }

// width of a dashboard, in Grafana's units.
const width = 24

func build() *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder("flambeau").
		Uid("flambeau").
		Description("A live-video distribution origin: feeds, store, broadcasters. Made by deploy/grafana/main.go.").
		Tags([]string{"flambeau", "video"}).
		Time("now-30m", "now").Refresh("10s").Timezone(common.TimeZoneBrowser).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(choice("instance", "label_values(flambeau_build_info, instance)")).
		WithVariable(choice("channel", `label_values({__name__=~"flambeau_ingest_up|flambeau_edge_timestamp_seconds"}, channel)`)).
		WithRow(dashboard.NewRowBuilder("Now")).
		WithPanel(number("Channels up", "Feeds that give samples.", units.Short, bad(1), `sum(flambeau_ingest_up{`+these+`})`)).
		WithPanel(number("Channels dark", "Feeds that give none.", units.Short, good(1), `count(flambeau_ingest_up{`+these+`}) - sum(flambeau_ingest_up{`+these+`})`)).
		WithPanel(number("Longest wait for the store", "How long the oldest closed segment has waited.", units.Seconds, good(30), `max(flambeau_segment_waiting_seconds{`+these+`})`)).
		WithPanel(number("Divergences", "Names that other bytes had taken, since the start.", units.Short, good(1), `sum(flambeau_divergence_total{`+these+`})`)).
		WithPanel(number("Lost", "Media that the archive lacks, since the start.", units.Seconds, good(0.001), `sum(flambeau_loss_seconds_total{`+these+`})`)).
		WithPanel(number("Answers that fail", "5xx among all answers.", units.PercentUnit, good(0.01),
			`sum(rate(flambeau_http_requests_total{code=~"5..",`+here+`}[$__rate_interval])) / sum(rate(flambeau_http_requests_total{`+here+`}[$__rate_interval]))`)).
		WithRow(dashboard.NewRowBuilder("Feeds")).
		WithPanel(lines("Since the last sample", "Dark beyond 10 s.", units.Seconds, 3,
			query{`time() - flambeau_ingest_last_sample_timestamp_seconds{` + these + `}`, "{{channel}} {{instance}}"})).
		WithPanel(lines("Coming in", "", units.BitsPerSecondSI, 3,
			query{`8 * rate(flambeau_ingest_bytes_total{` + these + `}[$__rate_interval])`, "{{channel}} {{instance}}"})).
		WithPanel(lines("Damage, by reason", "", units.CountsPerSecond, 3,
			query{`sum by (channel, reason) (rate(flambeau_ingest_errors_total{` + these + `}[$__rate_interval])) > 0`, "{{channel}} {{reason}}"})).
		WithRow(dashboard.NewRowBuilder("From the last frame to readable")).
		WithPanel(lines("Publish time", "From the last frame of a segment in to the segment readable.", units.Seconds, 2,
			query{quantile("0.5", "flambeau_segment_publish_seconds", "channel", these), "{{channel}} p50"},
			query{quantile("0.99", "flambeau_segment_publish_seconds", "channel", these), "{{channel}} p99"})).
		WithPanel(lines("Segments, by result", "", units.CountsPerSecond, 2,
			query{`sum by (channel, result) (rate(flambeau_segments_total{` + these + `}[$__rate_interval]))`, "{{channel}} {{result}}"})).
		WithPanel(lines("Behind the wall clock", "The edge's media time against now: an edge that stands shows here.", units.Seconds, 4,
			query{`time() - (flambeau_edge_timestamp_seconds{` + these + `} > 0)`, "{{channel}} {{instance}}"})).
		WithPanel(lines("Drift", "Media time against UTC by the worker's clock, either way.", units.Seconds, 4,
			query{`abs(flambeau_channel_drift_seconds{` + these + `})`, "{{channel}} {{instance}}"})).
		WithPanel(lines("Lost", "Media that the archive lacks.", units.Seconds, 4,
			query{`increase(flambeau_loss_seconds_total{` + these + `}[5m])`, "{{channel}} in 5 min"})).
		WithPanel(lines("Divergences", "Objects whose name other bytes had taken.", units.Short, 4,
			query{`flambeau_divergence_total{` + these + `}`, "{{channel}} {{instance}}"})).
		WithRow(dashboard.NewRowBuilder("Store")).
		WithPanel(lines("Store latency, p99 by op", "", units.Seconds, 2,
			query{quantile("0.99", "flambeau_store_request_duration_seconds", "op", here), "{{op}}"})).
		WithPanel(lines("Store requests, by op", "", units.OpsPerSecond, 2,
			query{`sum by (op) (rate(flambeau_store_request_duration_seconds_count{` + here + `}[$__rate_interval]))`, "{{op}}"})).
		WithPanel(lines("Store errors, by op", "", units.OpsPerSecond, 4,
			query{`sum by (op) (rate(flambeau_store_request_duration_seconds_count{result="error",` + here + `}[$__rate_interval]))`, "{{op}}"})).
		WithPanel(lines("Waiting for the store", "How long the oldest closed segment has waited.", units.Seconds, 4,
			query{`flambeau_segment_waiting_seconds{` + these + `}`, "{{channel}} {{instance}}"})).
		WithPanel(lines("Reads from memory", "Objects that never change: in memory, on their way for another, read from the store, not kept.", units.OpsPerSecond, 4,
			query{`sum by (result) (rate(flambeau_cache_requests_total{` + here + `}[$__rate_interval]))`, "{{result}}"})).
		WithPanel(lines("Spool", "What the store has not taken yet, and what there is room for. A file store has none.", units.BytesIEC, 4,
			query{`flambeau_spool_bytes{` + here + `}`, "{{instance}} used"},
			query{`flambeau_spool_size_bytes{` + here + `}`, "{{instance}} size"})).
		WithRow(dashboard.NewRowBuilder("Broadcasters")).
		WithPanel(lines("Answers, by kind and code", "", units.RequestsPerSecond, 2,
			query{`sum by (kind, code) (rate(flambeau_http_requests_total{` + here + `}[$__rate_interval])) > 0`, "{{kind}} {{code}}"})).
		WithPanel(lines("Time to answer, p99 by kind", "Waiting for the live edge included.", units.Seconds, 2,
			query{quantile("0.99", "flambeau_http_request_duration_seconds", "kind", here), "{{kind}}"})).
		WithPanel(lines("Going out, by kind", "", units.BitsPerSecondSI, 2,
			query{`8 * sum by (kind) (rate(flambeau_http_response_bytes_total{` + here + `}[$__rate_interval]))`, "{{kind}}"})).
		WithPanel(lines("Blocked requests", "Held until the edge has what they ask for.", units.Short, 2,
			query{`flambeau_http_blocked_requests{` + here + `}`, "{{instance}}"})).
		WithRow(dashboard.NewRowBuilder("Machine")).
		WithPanel(lines("Memory", "", units.BytesIEC, 3,
			query{`process_resident_memory_bytes{job="flambeau",` + here + `}`, "{{instance}} resident"},
			query{`go_memstats_heap_inuse_bytes{job="flambeau",` + here + `}`, "{{instance}} heap"})).
		WithPanel(lines("CPU", "1 is one core.", units.Short, 3,
			query{`rate(process_cpu_seconds_total{job="flambeau",` + here + `}[$__rate_interval])`, "{{instance}}"})).
		WithPanel(lines("Open files, goroutines", "", units.Short, 3,
			query{`process_open_fds{job="flambeau",` + here + `}`, "{{instance}} files"},
			query{`go_goroutines{job="flambeau",` + here + `}`, "{{instance}} goroutines"}))
}

// here and these are what the choices at the top of the dashboard leave.
const (
	here  = `instance=~"$instance"`
	these = `channel=~"$channel",` + here
)

func quantile(q, histogram, by, of string) string {
	return fmt.Sprintf("histogram_quantile(%s, sum by (%s, le) (rate(%s_bucket{%s}[$__rate_interval])))", q, by, histogram, of)
}

// choice is a variable of which all values are chosen at first.
func choice(name, values string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Datasource(source()).Query(dashboard.StringOrMap{String: &values}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(dashboard.VariableOption{
			Text: dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}}, Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
}

func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// good and bad colour a number: good is green below a limit and red from it on, bad the other way round.
func good(from float64) *dashboard.ThresholdsConfigBuilder { return coloured("green", "red", from) }
func bad(from float64) *dashboard.ThresholdsConfigBuilder  { return coloured("red", "green", from) }

func coloured(below, above string, from float64) *dashboard.ThresholdsConfigBuilder {
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).
		Steps([]dashboard.Threshold{{Color: below}, {Color: above, Value: &from}})
}

// number is one figure, a sixth of the width.
func number(title, what, unit string, colours *dashboard.ThresholdsConfigBuilder, expr string) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(what).Datasource(source()).Unit(unit).Height(4).Span(width / 6).
		Thresholds(colours).ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeNone).
		WithTarget(target(query{expr, title}, 0).Instant())
}

// lines are drawn over time; so many panels share the width.
func lines(title, what, unit string, share uint32, qs ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Title(title).Description(what).Datasource(source()).Unit(unit).Min(0).Height(8).Span(width / share).
		LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
	for i, q := range qs {
		p.WithTarget(target(q, i))
	}
	return p
}

func target(q query, n int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + n))).Datasource(source())
}
