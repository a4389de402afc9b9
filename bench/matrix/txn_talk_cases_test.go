package matrix

import "github.com/twmb/franz-go/pkg/kmsg"

const (
	produceKey        = 0
	initProducerIDKey = 22
	addPartitionsKey  = 24
	addOffsetsKey     = 25
	endTxnKey         = 26
	txnCommitKey      = 28
)

// initProducer asks for a producer id, in a transaction if so.
func initProducer(transactional bool) step {
	return say("producer id", initProducerIDKey, 3, func(q *kmsg.InitProducerIDRequest, mem *memo) {
		q.TransactionTimeoutMillis = 600_000
		if transactional {
			q.TransactionalID = ptr(transaction(mem))
		}
	}, func(resp *kmsg.InitProducerIDResponse, mem *memo) {
		mem.producer, mem.producing = resp.ProducerID, resp.ProducerEpoch
	})
}

func transaction(mem *memo) string { return shut + "talk." + mem.token }

// write produces the next batch of the memo's producer to each topic.
func write(name string, transactional bool, topics ...string) step {
	return say(name, produceKey, 9, func(q *kmsg.ProduceRequest, mem *memo) {
		q.Acks, q.TimeoutMillis = -1, 5000
		if transactional {
			q.TransactionID = ptr(transaction(mem))
		}
		q.Topics = each(topics, func(topic string) kmsg.ProduceRequestTopic {
			b := batchOf(transactional, mem.producer, mem.producing, mem.sequence[topic])
			return kmsg.ProduceRequestTopic{Topic: topic, TopicID: mem.side.id(topic), Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b}}}
		})
	}, func(resp *kmsg.ProduceResponse, mem *memo) {
		for _, t := range resp.Topics {
			name := t.Topic
			if resp.Version >= 13 {
				name = mem.side.names.of(t.TopicID)
			}
			if t.Partitions[0].ErrorCode == 0 {
				mem.sequence[name]++
			}
		}
	})
}

// produceTalk is of an idempotent producer.
func produceTalk() talk {
	return talk{
		name: "Produce of a producer", key: produceKey, min: 3, max: anyVersion, needs: []string{"TOPIC-WRITE"},
		steps: []step{
			initProducer(false), write("begun", false, open+"p"), write("go on", false, open+"p"), write("a topic more", false, open+"p", shut+"p"),
			write("a foreign topic more", false, "other.p", open+"p", shut+"p"), write("one denied", false, shut+"p"),
			write("after the turn", false, open+"p", shut+"p"), write("one, after the turn", false, shut+"p"), write("the allowed one", false, open+"p"),
		},
		turn: 6,
	}
}

// transactionTalks are of a transaction, for each API that takes part in it.
func transactionTalks() []talk {
	add := func(name string, topics ...string) step {
		return say[*kmsg.AddPartitionsToTxnRequest, *kmsg.AddPartitionsToTxnResponse](name, addPartitionsKey, 3, func(q *kmsg.AddPartitionsToTxnRequest, mem *memo) {
			q.TransactionalID, q.ProducerID, q.ProducerEpoch = transaction(mem), mem.producer, mem.producing
			q.Topics = each(topics, func(t string) kmsg.AddPartitionsToTxnRequestTopic {
				return kmsg.AddPartitionsToTxnRequestTopic{Topic: t, Partitions: []int32{0}}
			})
		}, nil)
	}
	offsets := say[*kmsg.AddOffsetsToTxnRequest, *kmsg.AddOffsetsToTxnResponse]("offsets", addOffsetsKey, 3, func(q *kmsg.AddOffsetsToTxnRequest, mem *memo) {
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = transaction(mem), mem.producer, mem.producing, shut+"txng."+mem.token
	}, nil)
	commit := say[*kmsg.TxnOffsetCommitRequest, *kmsg.TxnOffsetCommitResponse]("commit offsets", txnCommitKey, 3, func(q *kmsg.TxnOffsetCommitRequest, mem *memo) {
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group, q.Generation = transaction(mem), mem.producer, mem.producing, shut+"txng."+mem.token, -1
		q.Topics = each([]string{open + "t", shut + "t"}, func(topic string) kmsg.TxnOffsetCommitRequestTopic {
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = topic
			t.Partitions = append(t.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
			return t
		})
	}, nil)
	end := say[*kmsg.EndTxnRequest, *kmsg.EndTxnResponse]("end", endTxnKey, 3, func(q *kmsg.EndTxnRequest, mem *memo) {
		q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = transaction(mem), mem.producer, mem.producing, true
	}, nil)
	steps := []step{
		initProducer(true), add("begun", open+"p"), add("a topic more", shut+"p"), add("a topic twice", open+"p", shut+"p"), write("write", true, open+"p"), offsets, commit,
		add("a topic after the turn", shut+"p"), write("write after the turn", true, open+"p"), offsets.again("offsets after the turn"), commit.again("commit offsets after the turn"), end,
	}
	of := func(name string, key, to int16) talk {
		return talk{
			name: name + " within a transaction", key: key, max: to, steps: steps, turn: 7,
			needs: []string{"TRANSACTIONAL_ID-WRITE", "TOPIC-WRITE", "TOPIC-READ", "GROUP-READ"},
		}
	}
	produce := of("Produce", produceKey, anyVersion)
	produce.min = 3
	return []talk{
		of("AddPartitionsToTxn", addPartitionsKey, 3), of("AddOffsetsToTxn", addOffsetsKey, anyVersion), of("TxnOffsetCommit", txnCommitKey, anyVersion),
		of("EndTxn", endTxnKey, anyVersion), produce,
	}
}
