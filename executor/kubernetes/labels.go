package kubernetes

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
)

// selectable are the labels of a job that are labels in Kubernetes, too: their values have its form. The others are
// annotations.
var selectable = []string{job.LabelName, job.LabelRunner, job.LabelProject, job.LabelPipeline, job.LabelJob, job.LabelRole}

// meta describes an object of the job.
func (b *Backend) meta(i job.Identity, name string, role job.Role) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: b.API.Namespace(), Labels: config.Pairs(b.Config.Labels), Annotations: config.Pairs(b.Config.Annotations)}
	maps.Copy(m.Annotations, i.Labels(role))
	m.Annotations[job.LabelState] = b.Dir.ID()
	for _, label := range selectable {
		m.Labels[label] = m.Annotations[label]
		delete(m.Annotations, label)
	}
	return m
}

// labels are the labels of an object's job, from both places.
func labels(m metav1.ObjectMeta) map[string]string {
	all := map[string]string{}
	for _, from := range []map[string]string{m.Annotations, m.Labels} {
		for _, label := range job.Labels {
			if value, ok := from[label]; ok {
				all[label] = value
			}
		}
	}
	return all
}
