#!lua
-- Takes from an index what is no longer there: records that were collected by time.
--
-- KEYS: the index, then records. ARGV: the member of each record.
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('ZREM', KEYS[1], ARGV[i - 1])
  end
end
return 1
