// Calls OpenFaaS's go-sdk, the library in which faas-cli of today and OpenFaaS's connectors have their requests: each line of
// stdin is one call as JSON, each line of stdout its outcome. Built by go-sdk.ts into the sdk's own module.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/openfaas/faas-provider/types"
	sdk "github.com/openfaas/go-sdk"
)

type call struct {
	Do        string                   `json:"do"`
	Name      string                   `json:"name"`
	Namespace string                   `json:"namespace"`
	Replicas  uint64                   `json:"replicas"`
	Body      string                   `json:"body"`
	Function  types.FunctionDeployment `json:"function"`
	Space     types.FunctionNamespace  `json:"space"`
	Secret    types.Secret             `json:"secret"`
}

type outcome struct {
	Status int    `json:"status,omitempty"`
	Value  any    `json:"value,omitempty"`
	Error  string `json:"error,omitempty"`
}

func main() {
	gateway, err := url.Parse(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	auth := &sdk.BasicAuth{Username: os.Getenv("GATEWAY_USER"), Password: os.Getenv("GATEWAY_PASSWORD")}
	client := sdk.NewClient(gateway, auth, http.DefaultClient)
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked call
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		result := outcome{}
		result.Status, result.Value, err = do(context.Background(), client, asked)
		if err != nil {
			result.Error = err.Error()
		}
		if err := out.Encode(result); err != nil {
			os.Exit(1)
		}
	}
}

func do(ctx context.Context, client *sdk.Client, asked call) (status int, value any, err error) {
	switch asked.Do {
	case "GetNamespaces":
		value, err = client.GetNamespaces(ctx)
	case "GetNamespace":
		value, err = client.GetNamespace(ctx, asked.Name)
	case "CreateNamespace":
		status, err = client.CreateNamespace(ctx, asked.Space)
	case "UpdateNamespace":
		status, err = client.UpdateNamespace(ctx, asked.Space)
	case "DeleteNamespace":
		err = client.DeleteNamespace(ctx, asked.Name)
	case "GetFunctions":
		value, err = client.GetFunctions(ctx, asked.Namespace)
	case "GetFunction":
		value, err = client.GetFunction(ctx, asked.Name, asked.Namespace)
	case "Deploy":
		status, err = client.Deploy(ctx, asked.Function)
	case "Update":
		status, err = client.Update(ctx, asked.Function)
	case "ScaleFunction":
		err = client.ScaleFunction(ctx, asked.Name, asked.Namespace, asked.Replicas)
	case "DeleteFunction":
		err = client.DeleteFunction(ctx, asked.Name, asked.Namespace)
	case "GetSecrets":
		value, err = client.GetSecrets(ctx, asked.Namespace)
	case "CreateSecret":
		status, err = client.CreateSecret(ctx, asked.Secret)
	case "UpdateSecret":
		status, err = client.UpdateSecret(ctx, asked.Secret)
	case "DeleteSecret":
		err = client.DeleteSecret(ctx, asked.Name, asked.Namespace)
	case "GetInfo":
		value, err = client.GetInfo(ctx)
	case "GetLogs":
		value, err = logLines(ctx, client, asked)
	case "Invoke":
		return invoke(client, asked, false)
	case "InvokeAsync":
		return invoke(client, asked, true)
	default:
		err = fmt.Errorf("no such call: %s", asked.Do)
	}
	return status, value, err
}

func logLines(ctx context.Context, client *sdk.Client, asked call) ([]string, error) {
	messages, err := client.GetLogs(ctx, asked.Name, asked.Namespace, false, -1, nil)
	if err != nil {
		return nil, err
	}
	texts := []string{}
	for message := range messages {
		texts = append(texts, message.Text)
	}
	return texts, nil
}

func invoke(client *sdk.Client, asked call, async bool) (int, any, error) {
	request, err := http.NewRequest(http.MethodPost, "", strings.NewReader(asked.Body))
	if err != nil {
		return 0, nil, err
	}
	response, err := client.InvokeFunction(asked.Name, asked.Namespace, async, false, request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
