package main

import (
	"encoding/json"
	"errors"
	"log"

	ali_mns "github.com/aliyun/aliyun-mns-go-sdk"
)

// sendMessage puts a request on the job queue, for a program that has a right to the queue and no token. The id of the CloudEvent makes it
// safe to send the message again: the same source and id are the same job.
func sendMessage(variable func(string) string, name, host string) error {
	endpoint, queue := variable("MNS_ENDPOINT"), variable("MNS_QUEUE")
	if endpoint == "" || queue == "" {
		return errors.New("MNS_ENDPOINT and MNS_QUEUE are required")
	}
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "source": "/customers", "id": name, "type": "com.example.customer",
		"data": map[string]string{"name": name, "recordName": host},
	})
	if err != nil {
		return err
	}
	client := ali_mns.NewAliMNSClientWithConfig(ali_mns.AliMNSClientConfig{
		EndPoint: endpoint, AccessKeyId: variable("ALIBABA_CLOUD_ACCESS_KEY_ID"), AccessKeySecret: variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		Token: variable("ALIBABA_CLOUD_SECURITY_TOKEN"), TimeoutSecond: 10,
	})
	sent, err := ali_mns.NewMNSQueue(queue, client).SendMessage(ali_mns.MessageSendRequest{MessageBody: string(body), Priority: 8})
	if err != nil {
		return err
	}
	log.Printf("sent %s", sent.MessageId)
	return nil
}
