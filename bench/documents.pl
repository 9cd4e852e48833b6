#!/usr/bin/env perl
# Reads names of files on stdin and writes those that are UTF-8 text as rows for COPY documents (path, body).
use strict;
use warnings;

my %escape = ("\\" => "\\\\", "\n" => "\\n", "\t" => "\\t", "\r" => "\\r");
while (my $path = <STDIN>) {
    chomp $path;
    open my $file, '<:raw', $path or next;
    local $/ = undef;
    my $body = <$file> // '';
    my $copy = $body;
    next if index($body, "\0") >= 0 || !utf8::decode($copy);
    s/([\\\n\t\r])/$escape{$1}/g for $path, $body;
    print "$path\t$body\n";
}
