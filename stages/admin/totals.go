package admin

import (
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"gitlab-sysbox-executor/executor/accounting"
)

// totals returns the counters and histograms. Their labels contain no text that a job's author chose.
func totals(t *accounting.Totals) (all []*dto.MetricFamily) {
	for _, d := range accounting.Definitions() {
		kind := dto.MetricType_COUNTER
		if d.Buckets != nil {
			kind = dto.MetricType_HISTOGRAM
		}
		f := family(d.Name, d.Help, kind)
		if d.Buckets == nil {
			for _, key := range seriesOf(d, t.Counters) {
				value := t.Counters[key]
				f.Metric = append(f.Metric, &dto.Metric{Label: labelsOf(d, key), Counter: &dto.Counter{Value: &value}})
			}
		} else {
			for _, key := range seriesOf(d, t.Histograms) {
				f.Metric = append(f.Metric, &dto.Metric{Label: labelsOf(d, key), Histogram: histogram(t.Histograms[key])})
			}
		}
		if len(f.Metric) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// seriesOf are the sorted keys of a metric's series. A series of another version with other labels is left
// out.
func seriesOf[V any](d accounting.Definition, all map[string]V) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool {
		values := accounting.Values(key)
		return accounting.Key(d.Name, values...) != key || len(values) != len(d.Labels)
	})
}

// labelsOf are the labels of a series. An empty one is the same as none.
func labelsOf(d accounting.Definition, key string) []*dto.LabelPair {
	var pairs []string
	for n, value := range accounting.Values(key) {
		if value != "" {
			pairs = append(pairs, d.Labels[n], value)
		}
	}
	return labels(pairs...)
}

func histogram(h *accounting.Histogram) *dto.Histogram {
	var count uint64
	out := &dto.Histogram{SampleSum: &h.Sum}
	for n, c := range h.Counts {
		count += c
		bound, sofar := math.Inf(1), count
		if n < len(h.Bounds) {
			bound = h.Bounds[n]
		}
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &sofar})
	}
	out.SampleCount = &count
	return out
}
