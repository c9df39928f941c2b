// Reads compose.yaml as Compose does, and manifests as a cluster does: a field that neither knows is an error.
// Usage: checker compose COMPOSE_FILE, with its variables in the environment; checker manifests FILE...
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() any{
	"Deployment":              func() any { return &appsv1.Deployment{} },
	"Job":                     func() any { return &batchv1.Job{} },
	"Service":                 func() any { return &corev1.Service{} },
	"ServiceAccount":          func() any { return &corev1.ServiceAccount{} },
	"HorizontalPodAutoscaler": func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"PodDisruptionBudget":     func() any { return &policyv1.PodDisruptionBudget{} },
	"NetworkPolicy":           func() any { return &networkingv1.NetworkPolicy{} },
	"Ingress":                 func() any { return &networkingv1.Ingress{} },
}

func main() {
	var err error
	if os.Args[1] == "compose" {
		err = compose(os.Args[2])
	} else {
		err = manifests(os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for _, name := range project.ServiceNames() {
		fmt.Println(name)
	}
	return nil
}

func manifests(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			var head struct{ Kind string }
			if err := yaml.Unmarshal(document, &head); err != nil {
				return err
			}
			if made, known := kinds[head.Kind]; known {
				if err := yaml.UnmarshalStrict(document, made()); err != nil {
					return fmt.Errorf("%s: %s: %w", file, head.Kind, err)
				}
				fmt.Println(head.Kind)
			}
		}
	}
	return nil
}
