# Everything that streamkit makes, as Terraform would make it: applied, planned again (nothing to change), destroyed.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
}
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "x"
  secret_key                  = "x"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
locals { name = "tools" }
data "aws_caller_identity" "me" {}
resource "aws_kinesis_stream" "events" {
  name             = "${local.name}-events"
  shard_count      = 1
  retention_period = 24
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"
  tags             = { Project = "Retail" }
}
resource "aws_kinesis_stream_consumer" "efo" {
  name       = "efo"
  stream_arn = aws_kinesis_stream.events.arn
}
resource "aws_dynamodb_table" "results" {
  name         = "${local.name}-results"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "userId"
  range_key    = "eventTimestamp"
  attribute {
    name = "userId"
    type = "S"
  }
  attribute {
    name = "eventTimestamp"
    type = "N"
  }
  ttl {
    attribute_name = "expiresAt"
    enabled        = true
  }
  point_in_time_recovery { enabled = true }
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"
  tags             = { Project = "Retail" }
}
resource "aws_dynamodb_table" "prov" {
  name           = "${local.name}-prov"
  billing_mode   = "PROVISIONED"
  read_capacity  = 5
  write_capacity = 5
  hash_key       = "id"
  attribute {
    name = "id"
    type = "S"
  }
  lifecycle { ignore_changes = [read_capacity, write_capacity] }
}
resource "aws_appautoscaling_target" "read" {
  max_capacity       = 20
  min_capacity       = 5
  resource_id        = "table/${aws_dynamodb_table.prov.name}"
  scalable_dimension = "dynamodb:table:ReadCapacityUnits"
  service_namespace  = "dynamodb"
}
resource "aws_appautoscaling_policy" "read" {
  name               = "read"
  policy_type        = "TargetTrackingScaling"
  resource_id        = aws_appautoscaling_target.read.resource_id
  scalable_dimension = aws_appautoscaling_target.read.scalable_dimension
  service_namespace  = aws_appautoscaling_target.read.service_namespace
  target_tracking_scaling_policy_configuration {
    predefined_metric_specification { predefined_metric_type = "DynamoDBReadCapacityUtilization" }
    target_value = 70
  }
}
resource "aws_sqs_queue" "dlq" {
  name                      = "${local.name}-dlq"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = { Project = "Retail" }
}
resource "aws_sqs_queue" "fan" {
  name                       = "${local.name}-fan"
  visibility_timeout_seconds = 180
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dlq.arn, maxReceiveCount = 3 })
}
resource "aws_sqs_queue_policy" "fan" {
  queue_url = aws_sqs_queue.fan.id
  policy    = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "sns.amazonaws.com" }, Action = "sqs:SendMessage", Resource = aws_sqs_queue.fan.arn, Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.alerts.arn } } }] })
}
resource "aws_sns_topic" "alerts" {
  name              = "${local.name}-alerts"
  kms_master_key_id = "alias/aws/sns"
  tags              = { Project = "Retail" }
}
resource "aws_sns_topic_subscription" "fan" {
  topic_arn            = aws_sns_topic.alerts.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.fan.arn
  raw_message_delivery = true
  filter_policy        = jsonencode({ kind = ["a", { prefix = "b" }] })
  filter_policy_scope  = "MessageBody"
}
resource "aws_sns_topic_subscription" "fn" {
  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.f.arn
}
resource "aws_lambda_permission" "sns" {
  statement_id  = "sns"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.f.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.alerts.arn
}
resource "aws_iam_role" "r" {
  name               = "${local.name}-role"
  path               = "/streamkit/"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }] })
  tags               = { Project = "Retail" }
}
resource "aws_iam_role_policy" "p" {
  name   = "inline"
  role   = aws_iam_role.r.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream", "kinesis:ListShards"], Resource = aws_kinesis_stream.events.arn }, { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], Resource = aws_sqs_queue.fan.arn }] })
}
resource "aws_iam_policy" "custom" {
  name   = "${local.name}-custom"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["sns:Publish"], Resource = aws_sns_topic.alerts.arn }] })
}
resource "aws_iam_role_policy_attachment" "c" {
  role       = aws_iam_role.r.name
  policy_arn = aws_iam_policy.custom.arn
}
resource "aws_iam_role_policy_attachment" "managed" {
  role       = aws_iam_role.r.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaDynamoDBExecutionRole"
}
resource "aws_cloudwatch_log_group" "g" {
  name              = "/aws/lambda/${local.name}-f"
  retention_in_days = 14
}
resource "aws_lambda_function" "f" {
  function_name                  = "${local.name}-f"
  role                           = aws_iam_role.r.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  filename                       = "${path.module}/function.zip"
  source_code_hash               = filebase64sha256("${path.module}/function.zip")
  timeout                        = 60
  memory_size                    = 256
  publish                        = true
  reserved_concurrent_executions = 5
  tracing_config { mode = "Active" }
  dead_letter_config { target_arn = aws_sqs_queue.dlq.arn }
  environment { variables = { A = "1" } }
  depends_on = [aws_cloudwatch_log_group.g, aws_iam_role_policy.p]
  tags       = { Project = "Retail" }
}
resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.f.function_name
  function_version = aws_lambda_function.f.version
}
resource "aws_lambda_function_event_invoke_config" "f" {
  function_name                = aws_lambda_function.f.function_name
  maximum_retry_attempts       = 1
  maximum_event_age_in_seconds = 120
  destination_config {
    on_failure { destination = aws_sqs_queue.dlq.arn }
  }
}
resource "aws_lambda_event_source_mapping" "kinesis" {
  event_source_arn                   = aws_kinesis_stream.events.arn
  function_name                      = aws_lambda_function.f.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  bisect_batch_on_function_error     = true
  maximum_retry_attempts             = 3
  maximum_record_age_in_seconds      = 3600
  parallelization_factor             = 2
  function_response_types            = ["ReportBatchItemFailures"]
  destination_config {
    on_failure { destination_arn = aws_sqs_queue.dlq.arn }
  }
  filter_criteria {
    filter { pattern = jsonencode({ data = { kind = ["a"] } }) }
  }
  metrics_config { metrics = ["EventCount"] }
}
resource "aws_lambda_event_source_mapping" "efo" {
  event_source_arn  = aws_kinesis_stream_consumer.efo.arn
  function_name     = aws_lambda_function.f.arn
  starting_position = "LATEST"
}
resource "aws_lambda_event_source_mapping" "alias" {
  event_source_arn           = aws_dynamodb_table.results.stream_arn
  function_name              = aws_lambda_alias.live.arn
  starting_position          = "LATEST"
  tumbling_window_in_seconds = 60
}
resource "aws_lambda_event_source_mapping" "sqs" {
  event_source_arn        = aws_sqs_queue.fan.arn
  function_name           = aws_lambda_function.f.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
  scaling_config { maximum_concurrency = 2 }
}
resource "aws_cloudwatch_metric_alarm" "a" {
  alarm_name          = "${local.name}-failed"
  namespace           = "Retail"
  metric_name         = "Failed"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 10
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  dimensions          = { Pipeline = "x" }
  tags                = { Project = "Retail" }
}
resource "aws_cloudwatch_dashboard" "d" {
  dashboard_name = local.name
  dashboard_body = jsonencode({ widgets = [{ type = "metric", x = 0, y = 0, width = 12, height = 6, properties = { metrics = [["AWS/Lambda", "Errors"]], region = "us-east-1", title = "e" } }] })
}
resource "aws_s3_bucket" "b" {
  bucket        = "${local.name}-audit-000000000000"
  force_destroy = true
  tags          = { Project = "Retail" }
}
resource "aws_s3_bucket_public_access_block" "b" {
  bucket                  = aws_s3_bucket.b.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}
resource "aws_s3_bucket_server_side_encryption_configuration" "b" {
  bucket = aws_s3_bucket.b.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}
resource "aws_s3_bucket_ownership_controls" "b" {
  bucket = aws_s3_bucket.b.id
  rule { object_ownership = "BucketOwnerEnforced" }
}
resource "aws_s3_bucket_versioning" "b" {
  bucket = aws_s3_bucket.b.id
  versioning_configuration { status = "Enabled" }
}
resource "aws_s3_bucket_lifecycle_configuration" "b" {
  bucket = aws_s3_bucket.b.id
  rule {
    id     = "expire"
    status = "Enabled"
    filter { prefix = "" }
    expiration { days = 365 }
  }
}
resource "aws_s3_bucket_policy" "b" {
  bucket = aws_s3_bucket.b.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Sid = "TLS", Effect = "Deny", Principal = "*", Action = "s3:*", Resource = [aws_s3_bucket.b.arn, "${aws_s3_bucket.b.arn}/*"], Condition = { Bool = { "aws:SecureTransport" = "false" } } }] })
}
resource "aws_s3_object" "o" {
  bucket       = aws_s3_bucket.b.id
  key          = "a/b c/ü.json"
  content      = "{}"
  content_type = "application/json"
}
