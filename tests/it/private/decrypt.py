"""Decrypts all encrypted values of a table with the AWS Encryption SDK for Python, and prints each as a line of JSON.

    decrypt.py TABLE KEY_ALIAS"""

import base64
import json
import re
import sys

import aws_encryption_sdk
import boto3
from aws_encryption_sdk.identifiers import CommitmentPolicy

table, alias = sys.argv[1:]
key = boto3.client("kms").describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
provider = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[key])
for item in boto3.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]:
    for secret in re.findall(r'"(AgR4[A-Za-z0-9+/]+=*)"', item["rawData"]["S"]):
        clear, header = client.decrypt(source=base64.b64decode(secret), key_provider=provider)
        context = {name: value for name, value in header.encryption_context.items() if not name.startswith("aws-")}
        print(json.dumps({"clear": json.loads(clear), "context": context}))
