#!lua
-- Compare and commit. It knows no record: it compares bytes and writes bytes.
--
-- No flags in the first line: so the server refuses it whole without enough replicas, on a replica,
-- and without memory, also where it would write nothing.
--
-- KEYS: a key of the partition, so that another node says MOVED; E compared; W written; the rest
-- are indexes.
-- ARGV: incarnation, now, the permitted difference of clocks, E, W; E versions ('' is absence);
-- W pairs of value ('' deletes) and time of collection ('' is never); pairs of command and member,
-- one for each index.
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY a replica decides nothing')
end
local _, before = string.find(info, 'master_replid:', 1, true)
local incarnation = string.sub(info, before + 1, before + 16)
if incarnation ~= ARGV[1] then
  return {'fenced', incarnation}
end

local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
if math.abs(ms - ARGV[2]) > tonumber(ARGV[3]) then
  return {'clock', ms}
end

local compared, written = tonumber(ARGV[4]), tonumber(ARGV[5])
if compared > 0 then
  local values = redis.call('MGET', unpack(KEYS, 2, 1 + compared))
  for i = 1, compared do
    local value = values[i]
    if (value and string.sub(value, 1, 16) or '') ~= ARGV[5 + i] then
      return 0
    end
  end
end

local key, arg = 1 + compared, 5 + compared
for _ = 1, written do
  key, arg = key + 1, arg + 2
  if ARGV[arg - 1] == '' then
    redis.call('DEL', KEYS[key])
  elseif ARGV[arg] == '' then
    redis.call('SET', KEYS[key], ARGV[arg - 1])
  else
    redis.call('SET', KEYS[key], ARGV[arg - 1], 'PXAT', ARGV[arg])
  end
end

while key < #KEYS do
  key, arg = key + 1, arg + 2
  if ARGV[arg - 1] == 'ZADD' then
    redis.call('ZADD', KEYS[key], 0, ARGV[arg])
  else
    redis.call('ZREM', KEYS[key], ARGV[arg])
  end
end
return 1
